"""Updates that are not finite are skipped, counted, and in the end stop the run."""

import json
import math

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import NonFiniteError
from tests import small

FIRST, LAST = 12, 14
SKIPPED = LAST - FIRST + 1


def poisoned(workdir, last=LAST, **fields):
    node = {"name": "tests.small:poison", "first": FIRST, "last": last}
    fields = {"eval_every": 100, "checkpoint_every": 1, "keep_checkpoints": 100} | fields
    return small.train(workdir, objective={"poison": node}, **fields)


@pytest.fixture(scope="module")
def survived(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("survived")
    run = poisoned(workdir, steps=18, log_every=6)
    return workdir, run


def test_skipped_steps_change_nothing_but_the_counters(survived):
    workdir, _ = survived
    before, after = small.newest(workdir, FIRST), small.newest(workdir, LAST + 1)
    for part in ("params", "optimizer", "root"):
        small.assert_identical(after[part], before[part])
    assert (int(before["skipped"]), int(after["skipped"])) == (0, SKIPPED)
    assert int(after["skipped_in_a_row"]) == SKIPPED
    assert int(after["step"]) == LAST + 1


def test_training_goes_on_after_skipped_steps(survived):
    workdir, run = survived
    skipped, last = small.newest(workdir, LAST + 1), small.newest(workdir)
    assert small.distance(last["params"], skipped["params"]) > 1e-4
    assert (int(last["skipped"]), int(last["skipped_in_a_row"])) == (SKIPPED, 0)
    assert run.summary["status"] == "finished"


def test_means_leave_skipped_steps_out_and_count_them(survived):
    workdir, _ = survived
    windows = {p["step"]: p for p in ae.read_metrics(workdir) if p["split"] == "train"}
    assert {step: point["skipped"] for step, point in windows.items()} == {6: 0, 12: 0, 18: SKIPPED}
    assert all(math.isfinite(point["loss"]) for point in windows.values())
    # A step's loss from the parameters after skipped ones is near that before them.
    assert windows[18]["loss"] == pytest.approx(windows[12]["loss"], rel=0.2)


@pytest.mark.slow
def test_too_many_skipped_steps_in_a_row_stop_the_run_at_its_last_good_parameters(tmp_path):
    with pytest.raises(NonFiniteError, match=r"the last 5 steps before step 17"):
        poisoned(tmp_path, last=10_000, max_skipped_in_a_row=5, log_every=1)
    stopped = small.steps_of(tmp_path)
    assert set(range(1, FIRST + 1)) <= set(stopped)
    good = small.newest(tmp_path, FIRST)["params"]
    small.assert_identical(small.newest(tmp_path)["params"], good)
    assert all(np.isfinite(leaf).all() for leaf in small.leaves(good).values())
    small.assert_identical(ae.load(tmp_path).variables.params, good)


def test_a_run_that_diverged_says_so_in_its_summary(tmp_path):
    with pytest.raises(NonFiniteError, match="Try a lower optimizer.learning_rate"):
        poisoned(tmp_path, last=10_000, max_skipped_in_a_row=4, log_every=4)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["metrics"]["train"]["loss"] is None  # every step of the last window was skipped
    assert summary["metrics"]["train"]["skipped"] == 4
