"""What a run leaves beside its checkpoints: figures, drawn once and to the end, or not at all."""

from unittest import mock

import pytest
from etils import epath

import ae_jax as ae
from ae_jax import _workdir as storage
from ae_jax import precision
from ae_jax.errors import ConfigError, WorkdirError
from ae_jax.runs import gallery
from tests import small

FIELDS = {"steps": 2, "log_every": 1, "eval_every": 2, "checkpoint_every": 2}


def images(number):
    return {"evaluation": {**ae.config.DEFAULTS["evaluation"], "images": number}}


def fail(*_):
    raise RuntimeError("no font")


def test_figures_that_failed_are_drawn_when_the_command_is_repeated(tmp_path):
    with small.compiled_once():
        with (
            mock.patch.object(gallery, "draw", fail),
            pytest.raises(RuntimeError, match="no font"),
        ):
            small.train(tmp_path, figures=True, **FIELDS)
        with mock.patch.object(gallery, "draw") as draw:
            for _ in range(2):
                run = small.train(tmp_path, figures=True, **FIELDS)
    assert draw.call_count == 1
    assert (run.summary["status"], run.summary["restarts"]) == ("finished", 0)
    assert list((tmp_path / "figures").iterdir()) == []


def test_figures_can_be_turned_off(tmp_path):
    with small.compiled_once(), mock.patch.object(gallery, "draw", fail):
        small.train(tmp_path, figures=True, **FIELDS, **images(0))
        small.train(tmp_path, figures=True, **FIELDS, **images(0))
    assert not (tmp_path / "figures").exists()
    with pytest.raises(ConfigError, match=r"evaluation\.images must not be negative, got -1"):
        ae.config.complete(small.config(**images(-1)))


def test_a_workdir_that_is_a_file_is_bad_usage(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(ConfigError, match=r"the workdir '.*a' is a file; a run is kept in a fol"):
        storage.open_workdir(tmp_path / "a")
    with pytest.raises(ConfigError, match="set PYTHONUTF8=1"):
        storage.open_workdir(tmp_path / "sp\udcc3\udca4t")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError("no")])
def test_a_file_that_cannot_be_written_is_said_in_one_line_and_leaves_nothing(tmp_path, error):
    path = epath.Path(tmp_path) / "a.json"
    with (
        mock.patch.object(storage.os, "replace", mock.Mock(side_effect=error)),
        pytest.raises(WorkdirError, match=r"a\.json' cannot be written: .*[Nn]o") as caught,
    ):
        storage.write_json(path, {})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_compiled_in_float32_whatever_the_process_says():
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True), jax.disable_jit(True), precision.compiled_in_float32():
        assert jnp.ones(2).dtype == jnp.float32
        traced = []
        jax.jit(lambda x: traced.append(isinstance(x, jax.core.Tracer)))(1.0)
    assert traced == [True]
