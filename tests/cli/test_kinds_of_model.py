"""Evaluate and sample, of models that lack an encoder, a prior, or densities."""

import json

import pytest

import ae_jax as ae
from tests import scripts

EVALUATED = {
    "gan": {"spread"},
    "bigan": {"mse"},
    "adversarial_autoencoder": {"mse"},
    "autoencoder": {"mse"},
    "vae": {"mse", "bits_per_dim", "neg_log_likelihood_k2", "rate", "active_units"},
}
BOUND = {"bits_per_dim", "neg_log_likelihood_k2", "rate", "distortion", "active_units"}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVALUATED)
def test_each_is_measured_by_what_it_has_and_sampled_where_it_can_be(name, tmp_path):
    recipe = getattr(ae.recipes, name)(2)
    ae.fit(recipe, "digits", steps=2, batch_size=32, workdir=tmp_path, progress=False)
    scripts.run("evaluate.py", f"--workdir={tmp_path}", "--metrics=", "--samples=2")
    metrics = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]
    assert EVALUATED[name] <= set(metrics)
    assert name == "vae" or not BOUND & set(metrics)
    output = scripts.run("sample.py", f"--workdir={tmp_path}", "--num=4")
    names = {"interpolations", "traversals", "samples"} - (
        {"samples"} if name == "autoencoder" else set()
    )
    assert {path.stem for path in (tmp_path / "figures").glob("*.npz")} == names
    assert ("no samples: this model has no prior" in output) == (name == "autoencoder")
