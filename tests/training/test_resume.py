"""A run that was stopped, whatever stopped it, ends as if it had never been."""

import contextlib
import errno
import functools
import io
import json
import os
import pathlib
import pkgutil
import signal
from unittest import mock

import pytest

import ae_jax as ae
from ae_jax.errors import Preempted
from ae_jax.runs.pictures import Pictures
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.preemption import Preemption
from ae_jax.training.reporting import Reporter
from tests import small

CHECKPOINTED, STEPS = 10, small.DEFAULTS["steps"]


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    with small.compiled_once():
        yield


class Crash(Exception):
    """What a process would die of."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The workdir of a run that nothing stopped."""
    workdir = tmp_path_factory.mktemp("whole")
    small.train(workdir, log_every=7)
    return workdir


def at(step, action):
    """A callback that acts at the first log point of training from a step on."""
    done = []

    def callback(point):
        if point.split == "train" and point.step >= step and not done:
            done.append(point.step)
            action()

    return callback


def fail():
    raise Crash


@contextlib.contextmanager
def crash(step):
    """Within it, a process dies at the first dispatch that ends at this step or later."""
    stops = Preemption.stops

    def dying(self, *wanted):
        if reached and reached[-1] >= step:
            raise Crash
        return stops(self, *wanted)

    reached = []
    advance = lambda self, to: reached.append(to)
    with (
        mock.patch.object(Preemption, "stops", dying),
        mock.patch.object(Reporter, "advance", advance),
        pytest.raises(Crash),
    ):
        yield


def stop(number):
    return functools.partial(os.kill, os.getpid(), number)


def summary(workdir):
    return json.loads((pathlib.Path(workdir) / "summary.json").read_text())


def contents(workdir):
    """Every file below a folder, with its bytes and the time of its last change."""
    files = [path for path in pathlib.Path(workdir).rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("step", [7, 14, 28])
def test_a_crashed_run_goes_on_from_its_last_checkpoint(whole, tmp_path, step):
    with crash(step):
        small.train(tmp_path, log_every=7)
    assert (summary(tmp_path)["status"], summary(tmp_path)["steps"]) == ("failed", step)
    first = []
    run = small.train(tmp_path, [lambda point: first.append(point.step)], log_every=7)
    last = step // CHECKPOINTED * CHECKPOINTED
    assert first[0] == (last // 7 + 1) * 7
    assert (run.summary["restarts"], run.summary["lost_steps"]) == (1, step - last)
    small.assert_identical(small.newest(tmp_path), small.newest(whole))
    small.assert_identical(run.variables, ae.load(whole).variables)


def test_sigterm_saves_says_so_and_resumes_where_it_stopped(whole, tmp_path):
    with pytest.raises(Preempted) as caught:
        small.train(tmp_path, [at(14, stop(signal.SIGTERM))], log_every=7)
    assert caught.value.code == 143
    assert caught.value.step == 14
    assert (summary(tmp_path)["status"], summary(tmp_path)["steps"]) == ("preempted", 14)
    assert small.steps_of(tmp_path)[-1] == 14
    run = small.train(tmp_path, log_every=7)
    assert (run.summary["status"], run.summary["lost_steps"]) == ("finished", 0)
    small.assert_identical(small.newest(tmp_path), small.newest(whole))


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_a_warning_saves_as_sigterm_does_however_often_it_comes(whole, tmp_path, name):
    number = getattr(signal, name)
    with pytest.raises(Preempted) as caught:
        small.train(tmp_path, [at(14, lambda: [stop(number)() for _ in range(3)])], log_every=7)
    assert (caught.value.code, caught.value.step) == (143, 14)
    assert signal.getsignal(number) == signal.SIG_DFL
    assert (summary(tmp_path)["status"], small.steps_of(tmp_path)[-1]) == ("preempted", 14)
    if name == "SIGHUP":
        small.train(tmp_path, log_every=7)
        small.assert_identical(small.newest(tmp_path), small.newest(whole))


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_a_warning_that_is_ignored_or_handled_already_is_left_alone(handler):
    before = signal.signal(signal.SIGHUP, handler)
    try:
        run = small.train(callbacks=[at(7, stop(signal.SIGHUP))])
        assert run.summary["status"] == "finished"
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("error", [Crash, SystemExit, OSError])
def test_a_callback_that_fails_is_raised_once_the_run_is_saved(whole, tmp_path, error):
    called = []

    def failing(point):
        called.append(point.step)
        if point.step >= 14:
            raise error("of the user")

    with pytest.raises(error, match="of the user"):
        small.train(tmp_path, [failing], log_every=7)
    assert called[-1] == 14
    assert (summary(tmp_path)["status"], small.steps_of(tmp_path)[-1]) == ("failed", 14)
    if error is Crash:
        run = small.train(tmp_path, log_every=7)
        assert run.summary["lost_steps"] == 0
        small.assert_identical(small.newest(tmp_path), small.newest(whole))


class Closed(io.StringIO):
    """A terminal that somebody closes after some lines."""

    def write(self, text):
        if "step      14" in self.getvalue() + text:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def test_a_broken_pipe_saves_as_sigterm_does(tmp_path, monkeypatch):
    made = small.config(log_every=7)
    with monkeypatch.context() as patch, mock.patch.object(Pictures, "draw"):
        patch.setattr("sys.stderr", Closed())
        with pytest.raises(Preempted) as caught:
            ae.fit_config(made, tmp_path)
    assert (caught.value.code, caught.value.step) == (143, 14)
    assert (summary(tmp_path)["status"], small.steps_of(tmp_path)[-1]) == ("preempted", 14)


@pytest.mark.parametrize("what", ["checkpoint", "json", "board"])
def test_a_full_disk_is_one_line_and_earlier_checkpoints_are_whole(tmp_path, monkeypatch, what):
    place = {
        "checkpoint": "orbax.checkpoint.CheckpointManager.save",
        "json": "ae_jax._workdir.os.replace",
        "board": "tensorboardX.event_file_writer.EventsWriter.write_event",
    }[what]
    original = pkgutil.resolve_name(place)
    full = []

    def write(*args, **options):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args, **options)

    monkeypatch.setattr(place, write)
    with pytest.raises(ae.errors.WorkdirError, match="cannot be written: .*No space") as caught:
        small.train(tmp_path, [at(14, lambda: full.append(1))], log_every=7)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert small.steps_of(tmp_path) == ([10, 20] if what == "json" else [10])
    assert small.newest(tmp_path)["step"] == small.steps_of(tmp_path)[-1]
    assert not (tmp_path / "lock.json").exists()


def test_a_run_stopped_again_and_again_ends_the_same(whole, tmp_path):
    for step in (7, 14, 21):
        with pytest.raises(Preempted):
            small.train(tmp_path, [at(step, stop(signal.SIGTERM))], log_every=7)
    run = small.train(tmp_path, log_every=7)
    assert run.summary["restarts"] == 3
    small.assert_identical(small.newest(tmp_path), small.newest(whole))


def test_ctrl_c_saves_and_is_passed_on(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        small.train(tmp_path, [at(21, stop(signal.SIGINT))], log_every=7)
    assert summary(tmp_path)["status"] == "preempted"
    assert small.steps_of(tmp_path)[-1] == 21
    small.train(tmp_path, log_every=7)
    small.assert_identical(small.newest(tmp_path), small.newest(whole))


def test_sigterm_at_the_last_step_is_no_preemption(whole, tmp_path):
    run = small.train(tmp_path, [at(STEPS, stop(signal.SIGTERM))], log_every=7)
    assert run.summary["status"] == "finished"
    small.assert_identical(run.variables, ae.load(whole).variables)


def test_a_second_signal_reaches_the_handler_from_before(tmp_path):
    reached = []
    before = signal.signal(signal.SIGTERM, lambda *_: reached.append(True))
    try:
        with pytest.raises(Preempted):
            small.train(callbacks=[at(7, lambda: [stop(signal.SIGTERM)() for _ in range(2)])])
        assert reached == [True]
        os.kill(os.getpid(), signal.SIGTERM)  # and the handler stands again afterwards
        assert reached == [True, True]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_finished_run_is_left_alone(whole):
    before, traced = contents(whole), parallel.counts.copy()
    run = small.train(whole, log_every=7)
    assert contents(whole) == before
    assert parallel.counts == traced + parallel.counts.__class__(fetch=1)
    assert run.summary == summary(whole)
    small.assert_identical(run.variables, ae.load(whole).variables)


def test_fewer_steps_than_taken_leave_a_finished_run_alone(whole):
    before = contents(whole)
    small.train(whole, log_every=7, steps=STEPS - 5)
    assert contents(whole) == before


def test_raising_steps_continues_to_where_a_longer_run_ends(tmp_path):
    small.train(tmp_path / "a", steps=STEPS)
    more = small.train(tmp_path / "a", steps=STEPS + 15)
    longer = small.train(tmp_path / "b", steps=STEPS + 15)
    assert more.summary["steps"] == more.config.training.steps == STEPS + 15
    small.assert_identical(small.newest(tmp_path / "a"), small.newest(tmp_path / "b"))
    assert more.summary["metrics"]["test"] == longer.summary["metrics"]["test"]
    assert ae.load(tmp_path / "a").config.training.steps == STEPS + 15


def test_cadences_and_dispatch_lengths_may_change_between_starts(whole, tmp_path):
    with pytest.raises(Preempted):
        small.train(tmp_path, [at(14, stop(signal.SIGTERM))], log_every=7)
    changed = {"log_every": 3, "eval_every": 4, "checkpoint_every": 6, "keep_checkpoints": 1}
    small.train(tmp_path, steps_per_dispatch=2, **changed)
    small.assert_identical(small.newest(tmp_path), small.newest(whole))


def test_a_kill_between_the_last_checkpoint_and_the_summary_is_made_good(whole, tmp_path):
    run = small.train(tmp_path, log_every=7)
    (tmp_path / "summary.json").unlink()
    again = small.train(tmp_path, log_every=7)
    assert summary(tmp_path)["status"] == "finished"
    assert again.summary["metrics"]["test"] == run.summary["metrics"]["test"]
    small.assert_identical(again.variables, run.variables)


def test_metrics_of_all_starts_are_read_as_one_run(whole, tmp_path):
    for step in (14, 28):
        with crash(step):
            small.train(tmp_path, log_every=7)
    small.train(tmp_path, log_every=7)
    assert {path.name for path in (tmp_path / "metrics").iterdir()} == {
        "0.jsonl",
        "10.jsonl",
        "20.jsonl",
    }
    places = lambda workdir: [(p["step"], p["split"]) for p in ae.read_metrics(workdir)]
    assert places(tmp_path) == places(whole)
    losses = lambda workdir: [p["loss"] for p in ae.read_metrics(workdir) if p["split"] == "test"]
    assert losses(tmp_path) == losses(whole)
