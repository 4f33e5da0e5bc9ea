"""The table of quantisers, run as a user does."""

import json

import pytest

from tests import scripts


@pytest.mark.slow
def test_a_quantiser_is_measured_and_what_is_kept_is_shown(tmp_path):
    kept = tmp_path / "figures.jsonl"
    flags = "--source=synthetic:28x28x1", f"--json={kept}", "--steps=2", "--seeds=1", "--rows=fsq"
    scripts.run("benchmark_quantisers.py", *flags)
    (row,) = map(json.loads, kept.read_text().splitlines())
    assert row["codes"] == 8 * 8 * 8 * 6 * 5
    assert 1 < row["perplexity"] <= row["used"] <= row["used_of_all"] <= row["codes"]
    kept.write_text(json.dumps({**row, "used": 15_360 // 2, "psnr": 12.3}) + "\n")
    output = scripts.run("benchmark_quantisers.py", *flags)
    assert "50.0 ± 0.0" in output
    assert "12.3 ± 0.0" in output
    message = scripts.run("benchmark_quantisers.py", *flags[:-1], "--rows=fsk", code=2)
    assert "no row is called 'fsk'; did you mean 'fsq'" in message
