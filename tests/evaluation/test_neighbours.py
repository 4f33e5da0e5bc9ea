"""Precision, recall, density, coverage and copies against loops over pairs and closed forms."""

import numpy as np
import pytest

from ae_jax.errors import ConfigError, DataError
from ae_jax.evaluation import density_coverage, nearest_neighbours, precision_recall
from tests.reference import generation as reference

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(40, 3))
GENERATED = RNG.normal(size=(30, 3)) * 0.7 + 0.4


def both(real, generated, k):
    return precision_recall(real, generated, k) | density_coverage(real, generated, k)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_they_are_those_of_loops_over_pairs(k, monkeypatch):
    want = reference.prdc(REAL, GENERATED, k)
    assert both(REAL, GENERATED, k) == pytest.approx(want, rel=1e-12)
    monkeypatch.setattr("ae_jax.evaluation.neighbours.BLOCK", 100)  # some rows at a time
    assert both(REAL, GENERATED, k) == pytest.approx(want, rel=1e-12)
    assert 0.3 < want["precision"] < 1 or k > 1


def test_balls_are_closed_so_that_duplicates_of_real_examples_are_real():
    twice = np.repeat(REAL[:5] + 1e4, 2, axis=0)  # far off, where products would round
    want = {"precision": 1.0, "recall": 1.0, "density": 2.0, "coverage": 1.0}
    assert both(twice, twice, 1) == want
    apart = twice + 1e-3
    want = {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}
    assert both(twice, apart, 1) == want


def test_equal_distributions_have_the_density_and_coverage_of_the_closed_form():
    n, k, rng = 50, 5, np.random.default_rng(1)
    found = [density_coverage(*rng.normal(size=(2, n, 2)), k) for _ in range(200)]
    means = {name: np.mean([f[name] for f in found]) for name in found[0]}
    missed = np.prod([(n - 1 - j) / (2 * n - 1 - j) for j in range(k)])
    assert means["coverage"] == pytest.approx(1 - missed, abs=0.005)
    assert means["density"] == pytest.approx(1, abs=0.02)


def test_one_outlier_changes_precision_and_not_density():
    rng = np.random.default_rng(2)
    real, generated = rng.normal(size=(100, 2)), rng.normal(size=(50, 2)) + 20
    spoilt = np.concatenate([real, np.array([[1e3, 1e3]])])
    assert precision_recall(real, generated)["precision"] == 0
    assert precision_recall(spoilt, generated)["precision"] == 1
    assert density_coverage(spoilt, generated)["density"] <= 1 / 5
    assert density_coverage(spoilt, generated)["coverage"] <= 1 / 101


def test_nearest_neighbours_are_numpys_whatever_the_batches():
    distances = np.linalg.norm(GENERATED[:, None] - REAL[None], axis=-1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :3]
    for cuts in ([], [1, 2, 30], [10, 20, 20]):
        place, distance = nearest_neighbours(GENERATED, np.split(REAL, cuts), 3)
        np.testing.assert_array_equal(place, order)
        np.testing.assert_allclose(distance, np.take_along_axis(distances, order, axis=1))
    copied = nearest_neighbours(REAL[7:9], np.split(REAL, [8]))
    assert copied[0].ravel().tolist() == [7, 8]
    assert copied[1].ravel().tolist() == [0, 0]


def test_fewer_examples_than_neighbours_are_refused():
    with pytest.raises(DataError, match=r"40 neighbours need more real .*\(neighbours=39\)"):
        precision_recall(REAL, GENERATED, 40)
    with pytest.raises(DataError, match="30 neighbours need more generated examples"):
        precision_recall(REAL, GENERATED, 30)
    with pytest.raises(DataError, match="40 neighbours need more real examples"):
        density_coverage(REAL, GENERATED, 40)
    with pytest.raises(DataError, match=r"41 neighbours need more examples.*\(neighbours=40\)"):
        nearest_neighbours(GENERATED, [REAL], 41)
    with pytest.raises(DataError, match="enough for 0$"):
        precision_recall(REAL[:1], GENERATED)
    with pytest.raises(ConfigError, match="neighbours must be a positive whole number, got 0"):
        density_coverage(REAL, GENERATED, 0)
