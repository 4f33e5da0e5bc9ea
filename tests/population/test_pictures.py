"""Figures of a population: which are drawn, and of which numbers."""

import types
from unittest import mock

import numpy as np
import pytest

from ae_jax import figures
from ae_jax.population import pictures

SEED, BETA, RATE = "training.seed", "objective.kl.weight", "optimizer.learning_rate"


def population(members, workdir=None, events=(), **status):
    rows = [
        {
            "member": i,
            "values": members[i],
            "status": status.get(f"m{i}", "trained"),
            "metrics": {"test": {"loss": 10.0 + i, "kl": 5.0 - i, "reconstruction": 2.0 + i}},
        }
        for i in range(len(members))
    ]
    kept = {"members": members, "table": rows, "workdir": workdir, "events": events}
    return types.SimpleNamespace(**kept, ranked_by=("loss", False))


@pytest.fixture
def called(tmp_path):
    """Which figures were drawn of what, by the name of their file."""
    names = ("parallel_coordinates_figure", "bands_figure", "rate_distortion_figure")
    with mock.patch.multiple(figures, **dict.fromkeys(names, mock.DEFAULT)) as patched:

        def given(made, points=()):
            with mock.patch.object(pictures.storage, "read_metrics", return_value=points):
                drawn = pictures.draw(made, tmp_path)
            files = {}
            for one in patched.values():
                for call in one.call_args_list:
                    files[call.args[0].name] = call.args[1:]
                one.reset_mock()
            assert set(drawn) == set(files)
            return files

        yield given


def test_a_sweep_of_a_weight_over_seeds_has_a_rate_distortion_curve(called):
    members = [{BETA: b, SEED: s} for b in (0.5, 2.0) for s in (0, 1)]
    files = called(population(members, m3="diverged"))
    assert set(files) == {"parallel.png", "rate_distortion.png"}
    columns, losses, label = files["parallel.png"]
    assert columns == {BETA: [0.5, 0.5, 2.0, 2.0], SEED: [0, 1, 0, 1]}
    np.testing.assert_array_equal(losses, [10, 11, 12, np.nan])
    assert label == "loss"
    beta, rate, distortion = files["rate_distortion.png"]
    assert beta == [0.5, 0.5, 2.0, 2.0]
    np.testing.assert_array_equal(rate, [5, 4, 3, np.nan])
    np.testing.assert_array_equal(distortion, [2, 3, 4, np.nan])


def test_curves_are_grouped_by_what_varies_beside_the_seed(called):
    points = [{"step": 1, "split": "test", "member": 0, "loss": 1.0}]
    members = [{SEED: s, RATE: r} for s in (0, 1) for r in (1e-3, 1e-2)]
    files = called(population(members, "somewhere"), points)
    assert set(files) == {"parallel.png", "curves.png"}
    assert files["curves.png"] == (points, None, [1e-3, 1e-2] * 2, "test", RATE, ())
    files = called(population([{SEED: s} for s in range(2)], "somewhere"), points)
    assert files["curves.png"] == (points, None, None, "test", "", ())


def test_members_that_stopped_or_changed_have_no_place_on_a_curve_of_the_weight(called):
    points = [{"step": 1, "split": "test", "member": 0, "loss": 1.0}]
    members = [{BETA: b} for b in (0.5, 1.0, 2.0)]
    stop = [{"step": 1, "member": 2, "rung": 0}]
    files = called(population(members, "somewhere", stop, m2="stopped"), points)
    np.testing.assert_array_equal(files["rate_distortion.png"][1], [5, 4, np.nan])
    assert files["curves.png"][1:] == (None, [0.5, 1.0, 2.0], "test", BETA, stop)
    copy = [{"step": 1, "member": 2, "source": 0, BETA: 0.4}]
    made = population(members, "somewhere", copy)
    made.table[2]["values"] = {BETA: 0.4}
    files = called(made, points)
    assert set(files) == {"parallel.png", "curves.png"}
    assert files["parallel.png"][0] == {BETA: [0.5, 1.0, 0.4]}
    assert files["curves.png"][1:] == (None, None, "test", "", copy)


def test_nothing_is_drawn_of_what_has_not_been_evaluated_and_no_curve_of_nothing(called):
    made = population([{BETA: 1.0}, {BETA: 2.0}], m0="diverged", m1="diverged")
    assert called(made) == {}
    made.table = []
    assert called(made) == {}


def test_the_files_are_pictures(tmp_path):
    import matplotlib.image

    made = population([{BETA: b, SEED: s} for b in (0.5, 2.0) for s in (0, 1)])
    for name in pictures.draw(made, tmp_path / "figures"):
        assert matplotlib.image.imread(tmp_path / "figures" / name).std() > 0.01
