"""Use and perplexity of codebooks, and what is no code."""

import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax.evaluation import code_use


def test_perplexity_is_the_exponential_of_the_entropy_codebook_by_codebook():
    numbers = np.random.default_rng(0).integers(0, 7, (50, 3, 2)) * [1, 0]
    found = code_use(numbers, 16, codebooks=2)
    counts = np.bincount(numbers[..., 0].ravel(), minlength=16)
    np.testing.assert_array_equal(found.counts[0], counts[counts > 0])
    np.testing.assert_array_equal(found.numbers[0], np.flatnonzero(counts))
    assert found.used.tolist() == [np.count_nonzero(counts), 1]
    np.testing.assert_allclose(found.perplexity, [np.exp(stats.entropy(counts)), 1], rtol=1e-12)
    assert found.to_dict()["codes_used"] == found.used.tolist()
    even = code_use(np.arange(2**20), 2**30)  # no table of all codes is made
    assert even.perplexity[0] == pytest.approx(2**20)


@pytest.mark.parametrize(
    ("numbers", "codebooks", "message"),
    [
        ([[0, 4]], 1, "codes must lie in 0 to 3, got 0 to 4"),
        ([[-1, 0]], 1, "codes must lie in 0 to 3, got -1 to 0"),
        ([[0.0, 1.0]], 1, r"codes must be integers \[n, …\], got float64 \(1, 2\)"),
        (np.zeros((0, 2), int), 1, r"got int64 \(0, 2\)"),
        ([[0, 1, 2]], 2, r"last axis of \(1, 3\) is not of 2 codebooks"),
    ],
)
def test_what_is_no_code_is_refused(numbers, codebooks, message):
    with pytest.raises((ae.errors.DataError, ae.errors.ShapeError), match=message):
        code_use(numbers, 4, codebooks)
