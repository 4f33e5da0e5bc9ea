"""The interval of a ratio: closed forms, and how often it holds the truth."""

import itertools

import numpy as np
import pytest

from ae_jax.benchmarking.step.statistics import ratio_interval
from ae_jax.errors import DataError


def test_without_spread_the_interval_is_the_ratio():
    assert ratio_interval([0.5] * 7, [2.0] * 7) == (4.0, 4.0, 4.0)


def test_the_ratio_is_theirs_over_ours_and_turns_over_with_the_sides():
    ours, theirs = [1.0, 2.0, 9.0], [3.0, 6.0, 6.5]
    ratio, low, high = ratio_interval(ours, theirs)
    assert ratio == 3.0
    assert low <= ratio <= high
    assert ratio_interval(theirs, ours)[0] == pytest.approx(1 / 3)


def test_scaling_a_side_scales_the_interval():
    rng = np.random.default_rng(1)
    ours, theirs = rng.uniform(1, 2, 7), rng.uniform(1, 2, 7)
    once = np.array(ratio_interval(ours, theirs))
    np.testing.assert_allclose(ratio_interval(ours, 10 * theirs), 10 * once)


def test_two_values_against_one_by_every_resample():
    # Pairs of {1, 3}: medians 1 (1/4), 2 (1/2), 3 (1/4); against 6 the ratios 6, 3, 2.
    values = sorted(6 / np.median(pair) for pair in itertools.product([1.0, 3.0], repeat=2))
    assert values == [2, 3, 3, 6]
    assert ratio_interval([1.0, 3.0], [6.0], confidence=0.4) == (3.0, 3.0, 3.0)
    assert ratio_interval([1.0, 3.0], [6.0], confidence=0.8) == (3.0, 2.0, 6.0)


def test_a_seed_gives_the_same_interval_again():
    rng = np.random.default_rng(2)
    ours, theirs = rng.uniform(1, 2, 50), rng.uniform(1, 2, 50)
    assert ratio_interval(ours, theirs) == ratio_interval(ours, theirs)
    assert ratio_interval(ours, theirs) != ratio_interval(ours, theirs, seed=1)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        ours, theirs = rng.lognormal(0, 0.1, (2, 15))
        _, low, high = ratio_interval(ours, theirs, resamples=500)
        held += low <= 1 <= high
    assert 0.9 <= held / 200 <= 1


@pytest.mark.parametrize("bad", [[], [1.0, 0.0], [np.nan], [-1.0], [[1.0]]])
def test_what_is_no_time_is_refused(bad):
    with pytest.raises(DataError, match="ours must be seconds"):
        ratio_interval(bad, [1.0])
    with pytest.raises(DataError, match="theirs must be seconds"):
        ratio_interval([1.0], bad)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_is_a_share(confidence):
    with pytest.raises(DataError, match="between 0 and 1"):
        ratio_interval([1.0], [1.0], confidence=confidence)
