"""The benchmark of anomaly detection, run as a user does."""

import json

import numpy as np
import pytest

from tests import scripts


@pytest.mark.slow
def test_a_folder_of_tables_is_judged_and_gone_on_with(tmp_path):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(60, 3)), rng.normal(8, 1, size=(6, 3))])
    folder, kept = tmp_path / "tables", tmp_path / "figures.json"
    folder.mkdir()
    np.savez(folder / "blobs.npz", X=x, y=np.arange(66) >= 60)
    flags = f"--folder={folder}", f"--json={kept}", "--steps=5", "--split=random"
    output = scripts.run("benchmark_anomaly.py", *flags, "--seeds=1")
    assert "| blobs | 100.0 | 100.0 | 100.0 |" in output
    figures = json.loads(kept.read_text())
    assert figures["blobs"]["ae_jax"] == {"0": 1.0}
    figures["blobs"]["ae_jax"]["0"] = 0.5
    kept.write_text(json.dumps(figures))
    assert "| blobs | 100.0 | 100.0 | 50.0 |" in scripts.run(
        "benchmark_anomaly.py", *flags, "--seeds=1"
    )
    np.savez(folder / "other.npz", rows=x)
    assert "must have 'X' and 'y'" in scripts.run("benchmark_anomaly.py", *flags, code=2)
