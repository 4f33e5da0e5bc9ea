"""A profile of chosen steps changes nothing of the run."""

import pytest

from ae_jax.errors import ConfigError
from ae_jax.training.profiling import Profiler
from tests import small


def traces(workdir):
    return list((workdir / "profile").rglob("*.xplane.pb"))


@pytest.fixture(scope="module")
def plain():
    with small.compiled_once():
        yield small.fit_quietly(small.config())


def test_a_profiled_run_is_the_same_run_and_leaves_a_trace(plain, tmp_path):
    run = small.fit_quietly(small.config(), tmp_path, profile=(5, 12))
    small.assert_identical(run.variables, plain.variables)
    assert run.summary["compiles"] == {}  # the plain run's programs did for all of its dispatches
    assert [path.stat().st_size > 0 for path in traces(tmp_path)] == [True]


def test_a_trace_the_run_ends_in_is_kept(plain, tmp_path):
    run = small.fit_quietly(small.config(), tmp_path, profile=(25, 1_000))
    small.assert_identical(run.variables, plain.variables)
    assert len(traces(tmp_path)) == 1


def test_a_run_whose_profile_cannot_be_made_goes_on(plain, tmp_path, capsys):
    (tmp_path / "profile").write_text("in the way")
    run = small.fit_quietly(small.config(), tmp_path, profile=(5, 12))
    assert run.summary["status"] == "finished"
    small.assert_identical(run.variables, plain.variables)
    assert "no profile was written" in capsys.readouterr().err


def test_dispatches_end_where_a_trace_begins_and_ends():
    profiler = Profiler((5, 12))
    assert [profiler.stops(step) for step in (0, 5, 12)] == [[5, 12], [12], []]
    assert [profiler.before(step) for step in (4, 5, 11, 12)] == [False, True, True, False]
    assert Profiler().stops(0) == []


@pytest.mark.parametrize("steps", [(5, 5), (6, 5), (-1, 5)])
def test_steps_out_of_order_are_refused(steps, tmp_path):
    with pytest.raises(ConfigError, match="FIRST:LAST with 0 <= FIRST < LAST"):
        small.fit_quietly(small.config(), tmp_path, profile=steps)
    assert not list(tmp_path.iterdir())


def test_a_profile_needs_a_workdir():
    with pytest.raises(ConfigError, match="kept in the workdir"):
        small.fit_quietly(small.config(), None, profile=(1, 2))
