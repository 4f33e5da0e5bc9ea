"""`ae-jax evaluate --anomalies` as a user runs it."""

import json

import pytest

import ae_jax as ae
from tests import scripts


@pytest.mark.slow
def test_scores_are_judged_by_the_label_of_the_test_split(tmp_path):
    options = {"steps": 3, "batch_size": 16, "progress": False}
    recipe = ae.recipes.autoencoder(2, encoder="linear", decoder="linear")
    table = ae.data.load("tables:breast_cancer", label="diagnosis")
    run = ae.fit(recipe, table, workdir=tmp_path, **options)
    output = scripts.run("evaluate.py", f"--workdir={tmp_path}", "--anomalies=label")
    metrics = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]
    data = run.dataset()
    want = ae.evaluation.anomaly.judged(run, data.train, data.test)
    assert want.items() <= metrics.items()
    assert "auroc_nearest" in output
    assert (tmp_path / "figures" / "anomalies.png").read_bytes()[:4] == b"\x89PNG"
