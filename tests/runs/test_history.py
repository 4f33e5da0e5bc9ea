"""Goodput by hand: the seconds of steps that count over the seconds of all starts."""

import pytest
from etils import epath

from ae_jax._workdir import MetricsSegment, read_json
from ae_jax.runs.history import FILE, Starts


def log(workdir, first_step, steps):
    segment = MetricsSegment(workdir, first_step)
    for step in steps:
        segment.write(step, "train", {"loss": 1.0})
    segment.close()


def test_a_run_that_was_never_stopped_lost_only_what_was_no_step(tmp_path):
    starts = Starts(epath.Path(tmp_path), 0)
    assert (starts.restarts, starts.lost_steps, starts.goodput()) == (0, 0, None)
    starts.note(100, step_seconds=30.0, wall_seconds=40.0)
    assert starts.goodput() == pytest.approx(30 / 40)


def test_steps_beyond_the_last_checkpoint_of_a_killed_start_are_lost(tmp_path):
    workdir = epath.Path(tmp_path)
    first = Starts(workdir, 0)
    first.note(100, step_seconds=50.0, wall_seconds=60.0)  # 0.5 s a step; killed at step 120
    log(workdir, 0, [60, 120])
    second = Starts(workdir, 100)
    second.note(200, step_seconds=40.0, wall_seconds=55.0)
    assert (second.restarts, second.lost_steps) == (1, 20)
    assert second.goodput() == pytest.approx((50 + 40) / (60 + 20 * 0.5 + 55))
    assert read_json(workdir / FILE)[-1]["lost_steps"] == 20


def test_a_checkpoint_that_never_became_durable_does_not_count(tmp_path):
    workdir = epath.Path(tmp_path)
    first = Starts(workdir, 0)
    first.note(100, step_seconds=50.0, wall_seconds=60.0)
    log(workdir, 0, [100])
    second = Starts(workdir, 80)  # the checkpoint of step 100 could not be read
    second.note(100, step_seconds=10.0, wall_seconds=15.0)
    assert second.lost_steps == 20
    assert second.goodput() == pytest.approx((50 * 0.8 + 10) / (60 + 15))


def test_starts_before_goodput_was_noted_are_read(tmp_path):
    workdir = epath.Path(tmp_path)
    (workdir / FILE).write_text('[{"first_step": 0, "lost_steps": 0}]')
    starts = Starts(workdir, 50)
    starts.note(60, step_seconds=1.0, wall_seconds=2.0)
    assert starts.restarts == 1
    assert starts.goodput() == pytest.approx(0.5)


def test_without_a_workdir_nothing_is_kept():
    starts = Starts(None, 0)
    starts.note(10, step_seconds=1.0, wall_seconds=4.0)
    assert starts.goodput() == pytest.approx(0.25)
