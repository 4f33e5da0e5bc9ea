"""The benchmark: what it reports, and that waiting is told apart from working."""

import json
import time

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import benchmarking
from ae_jax.benchmarking.step import comparison, limits, trial
from ae_jax.benchmarking.step import measure as throughput
from ae_jax.training.parallel import strategies as parallel
from tests import scripts, small

SHORT = small.config(steps_per_dispatch=10)  # so that ten dispatches take no time


class Slow(ae.data.Arrays):
    """A source that takes its time."""

    def read(self, index):
        time.sleep(0.2)
        return super().read(index)


def slow_data() -> ae.data.Dataset:
    x = small.arrays()
    return ae.data.Dataset(Slow(x), ae.data.Arrays(x[:0]))


@pytest.fixture
def small_limits(monkeypatch):
    """A large product and arrays that are none, so that they take no time."""
    monkeypatch.setattr(limits, "GEMM", {"cpu": 16})
    monkeypatch.setattr(limits, "TRIAD_BYTES", {"cpu": 4096})


@pytest.mark.parametrize("engine", [pytest.param("resident", marks=pytest.mark.slow), "streaming"])
def test_every_sample_is_kept_and_the_figures_follow_from_them(engine, small_limits):
    traced = parallel.counts["trace train"]
    result = benchmarking.measure(SHORT, 0.05, {"data.engine": engine})
    assert parallel.counts["trace train"] == traced + 1  # what was read is what then ran
    assert result["engine"] == engine
    assert result["overrides"] == {"data.engine": engine}
    (samples,) = result["samples"]
    steps = np.array([spent / steps for spent, steps in samples])
    assert len(steps) >= 10
    step = result["step_seconds"]["median"]
    assert step == pytest.approx(np.median(steps))
    assert result["step_seconds"]["q25"] <= result["step_seconds"]["q75"]
    assert result["examples_per_second"] == pytest.approx(16 / step)
    assert result["examples_per_second_per_device"] == result["examples_per_second"]
    per_second = pytest.approx(6 * 16 / step)
    assert result["units"] == {"name": "values", "per_example": 6, "per_second": per_second}
    assert 0 <= result["input_wait_share"] <= 1
    assert 0 < result["dispatch"]["share"] <= 1
    weights = 6 * 16 + 16 * 4 + 2 * 16 + 16 * 6
    flops = 2 * 16 * (3 * weights - 6 * 16)
    assert result["flops"]["model"] == result["flops"]["step"] == flops
    assert result["flops"]["xla_products"] == flops
    assert result["flops"]["xla"] > flops
    assert result["mfu"]["value"] == pytest.approx(flops / step / result["mfu"]["peak_flops"])
    assert result["limits"]["products_flops"] == flops
    assert result["limits"]["products_complete"]
    assert result["limits"]["fraction"] == pytest.approx(result["limits"]["seconds"] / step)
    assert result["collective_bytes"] == 0
    parts = ("load", "trace", "compile", "first_dispatch")
    total = sum(result[f"{part}_seconds"] for part in parts)
    assert result["first_step_seconds"] == pytest.approx(total, rel=0.05, abs=0.05)
    json.dumps(result)


def test_a_report_goes_through_json_and_back(tmp_path, small_limits):
    variants = [{"training.batch_size": 16}, {"training.batch_size": 8, "parallel.devices": 2}]
    report = benchmarking.sweep(SHORT, variants, 0.01, rounds=3, with_limits=False)
    assert [result["batch_size"] for result in report["results"]] == [16, 8]
    assert [len(result["samples"]) for result in report["results"]] == [3, 3]
    assert report["results"][0]["limits"] is None
    two = report["results"][1]
    weights = (6 * 16 + 16) + (16 * 4 + 4) + (2 * 16 + 16) + (16 * 6 + 6)
    metrics = 2 + 1  # the terms and the loss
    assert two["device_count"] == 2
    # an all-reduce over two devices sends each byte once
    assert two["collective_bytes"] == 4 * (weights + metrics)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    read = comparison.read(path)
    assert read == json.loads(json.dumps(report))
    rows = comparison.compare(read, report)
    assert [(row.ratio, row.over) for row in rows] == [(1.0, "rounds")] * 2
    assert "batch_size=8, devices=2" in benchmarking.text(read)


def test_what_the_devices_cannot_hold_is_reported_and_the_rest_goes_on(monkeypatch):
    class Trial:
        limit_error = None

        def __init__(self, config, overrides):
            self.size = overrides["training.batch_size"]
            if self.size > 8:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: too much\nand more")

        def run(self, seconds):
            pass

        def result(self, peak, bandwidth):
            return {"size": self.size, "limits": (peak, bandwidth)}

        def close(self):
            pass

    monkeypatch.setattr(throughput, "Trial", Trial)
    variants = [{"training.batch_size": size} for size in (16, 8)]
    report = benchmarking.sweep(SHORT, variants, 0.0, rounds=2, with_limits=False)
    assert report["results"] == [
        {"overrides": variants[0], "error": "RESOURCE_EXHAUSTED: too much"},
        {"size": 8, "limits": (None, None)},
    ]
    with pytest.raises(jax.errors.JaxRuntimeError):
        benchmarking.measure(SHORT, 0.0, variants[0])


def test_limits_that_do_not_fit_beside_the_step_are_left_out(monkeypatch):
    def fails(self, seconds):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no room")

    monkeypatch.setattr(trial.Trial, "limit", fails)
    result = benchmarking.measure(SHORT, 0.01)
    assert result["limits"] is None
    assert result["limit_error"] == "RESOURCE_EXHAUSTED: no room"


@pytest.mark.slow
def test_waiting_for_a_slow_source_shows():
    fields = {"data": {"source": f"{__name__}:slow_data"}, "steps_per_dispatch": 1}
    shares = [
        benchmarking.measure(
            small.config(**fields), 0.05, {"data.engine": engine}, with_limits=False
        )
        for engine in ("resident", "streaming")
    ]
    assert shares[0]["input_wait_share"] == 0
    assert shares[1]["input_wait_share"] > 0.5


@pytest.mark.slow
def test_the_script_measures_each_variant_in_turns_and_compares(tmp_path):
    file, figure = tmp_path / "result.json", tmp_path / "figure.png"
    arguments = (
        "--config=configs/vae_digits.py:smoke",
        "--engines=resident,streaming",
        "--sweep=training.steps_per_dispatch=1,10",
        "--rounds=2",
        "--seconds=0.1",
        "--cache",
    )
    output = scripts.run("benchmark.py", *arguments, f"--json={file}", f"--figure={figure}")
    report = scripts.read_json(file)
    assert [(r["engine"], r["steps_per_dispatch"]) for r in report["results"]] == [
        (engine, steps) for engine in ("resident", "streaming") for steps in (1, 10)
    ]
    assert output.count("engine=streaming, steps_per_dispatch=10") == 2
    assert output.count("of it reached") == 4
    assert figure.exists()
    arguments = (*arguments, "--nolimits", f"--compare={file}")
    output = scripts.run("benchmark.py", *arguments, "--fail_below=1000", code=1)
    assert "times as fast as before" in output
    scripts.run("benchmark.py", *arguments, "--fail_below=0.001")


def test_bad_usage_of_the_script_is_named_before_anything_is_measured():
    config = "--config=configs/vae_digits.py:smoke"
    output = scripts.run("benchmark.py", config, "--sweep=training.batchsize=1", code=2)
    assert "did you mean 'batch_size'?" in output
