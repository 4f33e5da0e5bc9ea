"""A workdir goes on with its own data alone, wherever they lie, unless told otherwise."""

import json
from unittest import mock

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import WorkdirError
from ae_jax.runs.pictures import Pictures
from tests import small

STEPS = {"steps": 2, "log_every": 1, "eval_every": 2, "checkpoint_every": 2}


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    with small.compiled_once():
        yield


def table(size=100, mean=40.0):
    return np.random.default_rng(0).normal(mean, 3.0, (size, 4)).astype(np.float32)


def train(folder, x=None, name="x.npy", **fields):
    """A run of two steps on an array in a file, in `folder/run`."""
    if x is not None:
        np.save(folder / name, x)
    made = small.config(data={"source": f"npy:{folder / name}"}, **{**STEPS, **fields})
    return small.fit_quietly(made, folder / "run")


def test_other_data_are_refused_in_one_line_that_says_how_to_go_on(tmp_path):
    np.save(tmp_path / "x.npy", table())
    source = {**ae.config.DEFAULTS["data"], "source": f"npy:{tmp_path / 'x.npy'}"}
    made = lambda engine: small.config(data={**source, "engine": engine}, **STEPS)
    small.fit_quietly(made("resident"), tmp_path / "run")
    np.save(tmp_path / "x.npy", table(45))
    for engine in ("resident", "streaming"):
        with pytest.raises(
            WorkdirError, match=r"train: 89 -> 44 examples; test: 11 -> 1 ex"
        ) as caught:
            small.fit_quietly(made(engine), tmp_path / "run")
        assert "\n" not in str(caught.value)
        assert "--config.training.accept_new_data=true" in str(caught.value)
    np.save(tmp_path / "x.npy", table())
    assert small.fit_quietly(made("streaming"), tmp_path / "run").summary["steps"] == 2


def test_accepted_data_are_seen_through_the_preprocessing_learned_with(tmp_path):
    first = train(tmp_path, table())
    new = table(100, mean=90.0)
    with pytest.raises(WorkdirError, match="train: other values; test: other values"):
        train(tmp_path, new, steps=4)
    run = train(tmp_path, steps=4, accept_new_data=True)
    assert run.summary["steps"] == 4
    assert run.config.data.preprocessing == first.config.data.preprocessing
    assert train(tmp_path, steps=4, accept_new_data=True).summary["restarts"] == 1
    with pytest.raises(WorkdirError, match="other values"):
        train(tmp_path, table(), steps=6)  # the accepted data are now the run's


def test_a_moved_file_is_no_other_data(tmp_path):
    train(tmp_path, table())
    (tmp_path / "x.npy").rename(tmp_path / "moved.npy")
    run = train(tmp_path, name="moved.npy", steps=4)
    assert run.summary["restarts"] == 1
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["config"]["data"]["source"].endswith("moved.npy")
    with pytest.raises(WorkdirError, match=r"other values.*accept_new_data") as caught:
        train(tmp_path, table() + 1, name="elsewhere.npy", steps=6)
    assert "source" not in str(caught.value)


def test_a_run_from_before_fingerprints_goes_on(tmp_path):
    train(tmp_path, table())
    file = tmp_path / "run" / "config.json"
    stored = json.loads(file.read_text())
    del stored["fingerprint"], stored["config"]["training"]["accept_new_data"]
    file.write_text(json.dumps(stored))
    assert train(tmp_path, steps=4).summary["restarts"] == 1
    assert "fingerprint" in json.loads(file.read_text())


def test_another_config_names_the_way_to_start_from_the_parameters(tmp_path):
    train(tmp_path, table())
    lower = {**ae.config.DEFAULTS["optimizer"], "learning_rate": 1e-4}
    with pytest.raises(WorkdirError, match=r"learning_rate: 0.001 -> 0.0001.*init_from='.*/run'"):
        train(tmp_path, steps=4, optimizer=lower)


def rates(workdir):
    """The learning rate at every log point of training."""
    points = ae.read_metrics(workdir)
    return [point["learning_rate"] for point in points if point["split"] == "train"]


def test_a_learning_rate_that_jumps_is_said_and_logged_and_a_restart_offered(tmp_path, capfd):
    np.save(tmp_path / "x.npy", table())
    cosine = {**ae.config.DEFAULTS["optimizer"], "schedule": "cosine"}
    source = {**ae.config.DEFAULTS["data"], "source": f"npy:{tmp_path / 'x.npy'}"}

    def said(**fields):
        made = small.config(data=source, **{**STEPS, "optimizer": cosine, **fields})
        capfd.readouterr()
        with mock.patch.object(Pictures, "draw"):
            run = ae.fit_config(made, tmp_path / "run")
        lines = capfd.readouterr().err.splitlines()
        return run, [line for line in lines if line.startswith("the learning rate")]

    run, lines = said()
    assert lines == []
    assert run.summary["metrics"]["train"]["learning_rate"] == pytest.approx(5e-4)
    run, lines = said(steps=4)
    assert lines == [
        "the learning rate at step 2 is now 0.0005, where it was 0: training.steps 2 -> 4 "
        "stretches the schedule. To warm up and decay anew from here: --config.optimizer.restart=2"
    ]
    points = [
        p["learning_rate"] for p in ae.read_metrics(tmp_path / "run") if p["split"] == "train"
    ]
    shape = lambda step, steps: 0.5e-3 * (1 + np.cos(np.pi * step / steps))
    expected = [shape(0, 2), shape(1, 2), shape(2, 4), shape(3, 4)]
    np.testing.assert_allclose(points, expected, rtol=1e-6)
    _, lines = said(steps=8, optimizer={**cosine, "restart": 4})
    assert lines == [
        "the learning rate at step 4 is now 0.001, where it was 0: training.steps 4 -> 8 "
        "stretches the schedule and it restarts at 4"
    ]
    points = [
        p["learning_rate"] for p in ae.read_metrics(tmp_path / "run") if p["split"] == "train"
    ]
    np.testing.assert_allclose(points[4:], [shape(i, 4) for i in range(4)], rtol=1e-6)
