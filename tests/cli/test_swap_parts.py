"""The script that swaps one part at a time, on few steps."""

import json

import numpy as np
import pytest

from tests import scripts

FEW = ("--steps=5", "--hidden=8", "--latent=2", "--seeds=1", "--samples=3", "--images=10")
ROWS = ("vae", "vamp", "sphere")


@pytest.mark.slow
def test_rows_are_compared_on_the_same_images_and_kept(tmp_path):
    kept = tmp_path / "kept.jsonl"
    call = ("swap_parts.py", "--source=digits", f"--json={kept}", *FEW)
    scripts.run(*call, "--rows=vae,vamp")
    before = kept.read_text()
    printed = scripts.run(*call, f"--rows={','.join(ROWS)}")
    assert kept.read_text().startswith(before)  # nothing is trained twice
    assert [line.split()[0] for line in printed.splitlines() if "seed 0:" in line] == ["sphere"]

    lines = [line.split(" | ") for line in printed.splitlines() if line.startswith("| 2 ")]
    assert [line[1] for line in lines] == list(ROWS)
    figures = {each["row"]: each for each in map(json.loads, kept.read_text().splitlines())}
    bounds = {name: np.array(figures[name]["bound"]) for name in ROWS}
    assert all(bound.shape == (10,) for bound in bounds.values())
    for line in lines:
        assert float(line[2].split()[0]) == pytest.approx(bounds[line[1]].mean(), abs=0.006)
    for line in lines[1:]:
        apart = bounds[line[1]] - bounds["vae"]
        mean, _, error = line[3].split()[:3]
        assert float(mean) == pytest.approx(apart.mean(), abs=0.006)
        assert float(error) == pytest.approx(apart.std() / np.sqrt(10), abs=0.006)
    assert lines[0][3] == "–"

    other = scripts.run(*call, "--rows=vae", "--steps=6", code=2)
    assert f"'{kept}' has figures of --steps=5, this call has --steps=6" in other
