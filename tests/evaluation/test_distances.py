"""Fréchet and kernel distance against NumPy and SciPy, closed forms and their own invariances."""

import numpy as np
import pytest

from ae_jax.errors import DataError, ShapeError
from ae_jax.evaluation import Moments, frechet_distance, kernel_distance, moments
from tests.reference import generation as reference

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(60, 5)) @ RNG.normal(size=(5, 5)) + 3
GENERATED = RNG.normal(size=(45, 5)) + 2


def test_moments_are_numpys_whatever_the_batches():
    far = REAL + 1e7  # sums of squares in float64 would keep two digits of the covariance
    for cuts in ([], [1], [7, 7, 30, 59], list(range(1, 60))):
        got = moments(np.split(far, cuts))
        assert got.examples == 60
        np.testing.assert_allclose(got.mean, far.mean(0), rtol=1e-14)
        np.testing.assert_allclose(got.covariance, np.cov(far, rowvar=False), rtol=1e-7)


def test_frechet_distance_is_that_of_scipys_matrix_root():
    want = reference.frechet_distance(REAL, GENERATED)
    assert frechet_distance(REAL, GENERATED) == pytest.approx(want, rel=1e-9)
    streamed = moments(np.split(REAL, 4)), moments(np.split(GENERATED, 9))
    assert frechet_distance(*streamed) == pytest.approx(want, rel=1e-9)
    assert frechet_distance(GENERATED, REAL) == pytest.approx(want, rel=1e-9)
    assert frechet_distance(REAL, REAL) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_known_gaussians_is_in_closed_form():
    scales, others, shift = np.array([1.0, 2.0, 0.5]), np.array([3.0, 1.0, 0.0]), np.ones(3)
    turned, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    cov = lambda deviation: turned @ np.diag(deviation**2) @ turned.T
    pair = Moments(9, np.zeros(3), cov(scales)), Moments(9, shift, cov(others))
    want = np.sum(shift**2) + np.sum((scales - others) ** 2)  # of commuting covariances
    assert frechet_distance(*pair) == pytest.approx(want, rel=1e-9)
    constant = Moments(9, shift, np.zeros((3, 3)))  # fewer examples than features: singular
    assert frechet_distance(pair[0], constant) == pytest.approx(3 + np.sum(scales**2))


def test_kernel_distance_is_the_unbiased_one_over_all_pairs(monkeypatch):
    want = reference.kernel_distance(REAL[:20], GENERATED[:13])
    assert kernel_distance(REAL[:20], GENERATED[:13]) == pytest.approx(want, rel=1e-10)
    monkeypatch.setattr("ae_jax.evaluation.distances.BLOCK", 30)  # rows by the block or two
    assert kernel_distance(REAL[:20], GENERATED[:13]) == pytest.approx(want, rel=1e-10)


def test_kernel_distance_has_no_bias():
    rng = np.random.default_rng(1)
    equal = [kernel_distance(*rng.normal(size=(2, 12, 3))) for _ in range(1500)]
    spread = np.std(equal) / np.sqrt(len(equal))
    assert abs(np.mean(equal)) < 3 * spread
    assert min(equal) < 0 < spread < 0.1


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_what_cannot_be_compared_is_refused(distance):
    with pytest.raises(ShapeError, match=r"columns"):
        distance(REAL, GENERATED[:, :3])
    with pytest.raises(DataError, match="two .*examples at least, got 1"):
        distance(REAL[:1], GENERATED)
    broken = GENERATED.copy()
    broken[3, 2] = np.nan
    with pytest.raises(DataError, match=r"not finite, the first nan at \(3, 2\)"):
        distance(REAL, broken)
    with pytest.raises(DataError, match=r"empty: shape \(0, 5\)|got 0"):
        distance(REAL, GENERATED[:0])
