"""Maximum mean discrepancy against SciPy, closed forms and its own symmetries."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.losses import discrepancy
from tests.losses.properties import Case
from tests.losses.row_properties import BatchCoupledProperties
from tests.reference import discrepancy as reference

# Eighths, so that every dtype holds them exactly.
FIXED = np.float32(np.random.default_rng(11).integers(-16, 16, size=(4, 3)) / 8)


def samples(rng):
    return (rng.normal(size=(5, 3)),)


def extreme_samples():
    rng = np.random.default_rng(3)
    for scale in (0.0, 1e-10, 1e-3, 1e3, 1e15):
        yield (scale * rng.normal(size=(5, 3)),)
    yield (1e4 + rng.normal(size=(5, 3)),)  # far from the origin, near one another
    yield (FIXED[[0, 0, 1, 1, 1]],)


def case(**options):
    """x is the argument, y is fixed: `valid` is that of x."""

    def function(x, valid=None):
        return discrepancy.mmd(x, FIXED, valid=valid, **options)

    def oracle(x):
        return reference.mmd(x, FIXED, **options)

    name = f"mmd({options['kernel']}, unbiased={options['unbiased']})"
    return Case(name, function, oracle, samples, extreme_samples)


class TestProperties(BatchCoupledProperties):
    cases = tuple(
        case(kernel=kernel, unbiased=unbiased, bandwidths=discrepancy.BANDWIDTHS)
        for kernel in discrepancy.KERNELS
        for unbiased in (True, False)
    )


def test_the_default_is_the_unbiased_inverse_multiquadratic_of_the_wasserstein_autoencoder():
    x = np.random.default_rng(0).normal(size=(5, 3))
    scales = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
    expected, magnitude = reference.mmd(x, FIXED, kernel="imq", bandwidths=scales, unbiased=True)
    np.testing.assert_allclose(discrepancy.mmd(x, FIXED), expected, atol=1e-5 * magnitude)


@pytest.mark.parametrize("kernel", discrepancy.KERNELS)
@pytest.mark.parametrize("offset", [0.0, 0.7])
def test_u_statistic_is_unbiased(kernel, offset):
    draws, bandwidths = 100_000, (0.3, 2.0)
    shift = np.full(2, offset)
    mmd = functools.partial(discrepancy.mmd, kernel=kernel, bandwidths=bandwidths, unbiased=True)

    def estimate(key):
        key_x, key_y = jax.random.split(key)
        x = 1.5 * jax.random.normal(key_x, (3, 2)) + jnp.asarray(shift, jnp.float32)
        return mmd(x, jax.random.normal(key_y, (4, 2)))

    keys = jax.random.split(jax.random.key(0), draws)
    estimates = np.asarray(jax.jit(jax.vmap(estimate))(keys), np.float64)
    expected = reference.expected_mmd(shift, 1.5**2, 1.0, kernel=kernel, bandwidths=bandwidths)
    z = (estimates.mean() - expected) / (estimates.std() / np.sqrt(draws))
    assert abs(z) < 4


@pytest.mark.parametrize("unbiased", [True, False])
def test_both_sets_may_be_padded_and_exchanged(unbiased):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    mmd = functools.partial(discrepancy.mmd, unbiased=unbiased)
    padded = np.concatenate([y, np.full((2, 3), np.nan)])
    valid = np.arange(6) < 4
    plain = float(mmd(x, y))
    assert abs(plain) > 1e-3
    np.testing.assert_allclose(mmd(x, padded, valid_y=valid), plain, rtol=1e-5)
    np.testing.assert_allclose(mmd(padded, x, valid=valid), plain, rtol=1e-5)
    order = rng.permutation(5)
    np.testing.assert_allclose(mmd(x[order], y), plain, rtol=1e-5)


def test_bandwidths_scale_with_the_variance():
    x = np.random.default_rng(0).normal(size=(5, 3))
    wide = discrepancy.mmd(3 * x, 3 * FIXED, bandwidths=[9.0, 18.0])
    np.testing.assert_allclose(wide, discrepancy.mmd(x, FIXED, bandwidths=[1.0, 2.0]), rtol=1e-5)


def test_v_statistic_of_a_set_with_itself_is_zero():
    value, grad = jax.value_and_grad(discrepancy.mmd)(FIXED, FIXED, unbiased=False)
    assert abs(value) < 1e-5
    assert np.isfinite(grad).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "imk"}, "no kernel is called 'imk'; did you mean 'imq'"),
        ({"bandwidths": ()}, r"bandwidths must be one or more positive numbers, got \(\)"),
        ({"bandwidths": (1.0, -2.0)}, r"got \(1.0, -2.0\)"),
        ({"y": np.zeros((4, 2))}, r"x \(5, 3\), y \(4, 2\)"),
        ({"x": np.zeros((1, 3))}, "2 rows or more in x and y, got 1 and 4"),
    ],
)
def test_bad_arguments(options, message):
    arguments = {"x": np.zeros((5, 3)), "y": FIXED} | options
    with pytest.raises(ValueError, match=message):
        discrepancy.mmd(**arguments)
