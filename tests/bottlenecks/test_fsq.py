"""Finite scalar quantisation: exact levels, odd and even, their numbers and gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from tests import fast


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8, 9])
def test_the_levels_are_exactly_those_of_the_paper(levels):
    half = levels // 2
    wanted = (np.arange(levels) - half) / half
    bottleneck = ae.bottlenecks.fsq((3000, 1), levels)
    features = np.linspace(-6, 6, 3000, dtype=np.float32)[:, None]
    q = bottleneck.posterior({}, {}, jnp.asarray(features))
    np.testing.assert_array_equal(np.unique(q.value), np.float32(wanted))
    assert np.all(np.diff(np.asarray(q.numbers)) >= 0)  # in order
    far = bottleneck.posterior({}, {}, jnp.full((3000, 1), np.float32(1e30)))
    assert float(far.value[0, 0]) == np.float32(wanted[-1])
    middle = bottleneck.posterior({}, {}, jnp.zeros((3000, 1))).value[0, 0]
    assert abs(float(middle)) <= 1 / half  # 0 lies on a level, or beside the middle


def test_numbers_and_codes_are_one_to_one():
    levels = (2, 3, 4)
    bottleneck = ae.bottlenecks.fsq(3, levels)
    digits = np.array(list(itertools.product(*map(range, levels))))
    half = np.array(levels) // 2
    wanted = np.float32((digits - half) / half)
    numbers = digits @ np.array([1, 2, 6])
    found = bottleneck.codes.latent({}, {}, jnp.asarray(numbers))
    np.testing.assert_array_equal(found, wanted)
    assert bottleneck.codes.size == len(digits) == len(np.unique(numbers))
    # Features that lie on a level are given its number: atanh((level + o) / h) - s.
    reach = (np.array(levels) - 1) * 1.001 / 2
    offset = np.where(np.array(levels) % 2, 0, 0.5)
    features = np.arctanh((digits - half + offset) / reach) - np.arctanh(offset / reach)
    again = fast.jit(jax.vmap(lambda f: bottleneck.posterior({}, {}, f).numbers))
    np.testing.assert_array_equal(again(np.float32(features)), numbers)


def test_the_gradient_is_that_of_the_bound():
    bottleneck = ae.bottlenecks.fsq(2, (5, 8))
    features, weights = np.random.default_rng(0).normal(size=(2, 2)).astype(np.float32)
    pulled = jax.grad(lambda f: jnp.sum(weights * bottleneck.posterior({}, {}, f).value))(features)
    reach, offset = np.array([4, 7]) * 1.001 / 2, np.array([0, 0.5])
    slope = 1 - np.tanh(features + np.arctanh(offset / reach)) ** 2
    np.testing.assert_allclose(pulled, weights * reach * slope / np.array([2, 4]), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1), "levels must be whole numbers of at least 2, got 1"),
        ((2, (3, 1)), r"levels must be whole numbers of at least 2, got \(3, 1\)"),
        ((2, 2.5), "levels must be whole numbers of at least 2, got 2.5"),
        ((2, True), "levels must be whole numbers of at least 2, got True"),
        ((3, (5, 5)), "one number for each of the 3 dimensions of a code, got 2"),
        ((11, 8), "codes a position, of which int32 can number 2147483647"),
    ],
)
def test_bad_levels_are_refused(arguments, message):
    with pytest.raises(ae.errors.ConfigError, match=message):
        ae.bottlenecks.fsq(*arguments)
