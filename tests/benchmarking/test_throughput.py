"""The benchmark: what it reports, and that waiting is told apart from working."""

import json
import time

import numpy as np
import pytest

import ae_jax as ae
from ae_jax import benchmarking
from tests import scripts, small


class Slow(ae.data.Arrays):
    """A source that takes its time."""

    def read(self, index):
        time.sleep(0.2)
        return super().read(index)


def slow_data() -> ae.data.Dataset:
    x = small.arrays()
    return ae.data.Dataset(Slow(x), ae.data.Arrays(x[:0]))


@pytest.mark.parametrize("engine", [pytest.param("resident", marks=pytest.mark.slow), "streaming"])
def test_every_sample_is_kept_and_the_figures_follow_from_them(engine):
    result = benchmarking.measure(small.config(), 0.05, {"data.engine": engine})
    assert result["engine"] == engine
    assert result["overrides"] == {"data.engine": engine}
    steps = np.array([spent / steps for spent, steps in result["samples"]])
    assert len(steps) >= 10
    assert result["step_seconds"]["median"] == pytest.approx(np.median(steps))
    assert result["step_seconds"]["q25"] <= result["step_seconds"]["q75"]
    assert result["examples_per_second"] == pytest.approx(16 / np.median(steps))
    assert 0 <= result["input_wait_share"] <= 1
    json.dumps(result)


@pytest.mark.slow
def test_waiting_for_a_slow_source_shows():
    fields = {"data": {"source": f"{__name__}:slow_data"}, "steps_per_dispatch": 1}
    shares = [
        benchmarking.measure(small.config(**fields), 0.05, {"data.engine": engine})
        for engine in ("resident", "streaming")
    ]
    assert shares[0]["input_wait_share"] == 0
    assert shares[1]["input_wait_share"] > 0.5


@pytest.mark.slow
def test_the_table_has_a_row_a_result():
    result = benchmarking.measure(small.config(), 0.01)
    text = benchmarking.table([result, {**result, "overrides": {"data.engine": "streaming"}}])
    assert len(text.splitlines()) == 3
    assert f"{result['examples_per_second']:,.0f}" in text
    assert "engine=streaming" in text


@pytest.mark.slow
def test_the_script_measures_each_variant_in_turns(tmp_path):
    file = tmp_path / "result.json"
    output = scripts.run(
        "benchmark.py",
        "--config=configs/vae_digits.py:smoke",
        "--engines=resident,streaming",
        "--rounds=2",
        "--seconds=0.1",
        f"--json={file}",
    )
    results = json.loads(file.read_text())
    assert [r["engine"] for r in results] == ["resident", "streaming"] * 2
    assert output.count("engine=streaming") == 2
