"""The negative binomial likelihood against SciPy, in its Poisson limit, and its moments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax import losses
from tests.likelihoods.cases import DRAWS, compiled
from tests.reference import likelihoods as reference

LIKELIHOOD = ae.likelihoods.negative_binomial()
VALUE_AND_SLOPES = jax.jit(jax.value_and_grad(losses.negative_binomial_nll, (1, 2)))


def scipys(mean, dispersion):
    return stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))


def test_log_prob_is_scipys():
    rng = np.random.default_rng(0)
    log_mean, log_dispersion = rng.normal(1, 1.5, 100), rng.normal(0, 1.5, 100)
    x = rng.poisson(np.exp(log_mean))
    expected = scipys(np.exp(log_mean), np.exp(log_dispersion)).logpmf(x).sum()
    with jax.enable_x64(True):
        y = jnp.concatenate([log_mean, log_dispersion])
        got = LIKELIHOOD.log_prob({}, y, jnp.asarray(x), None)
    np.testing.assert_allclose(got, expected, rtol=1e-7)  # the bounds move y by up to 1e-6


@pytest.mark.parametrize("count", [0, 1, 30, 5000])
def test_without_dispersion_it_is_poisson(count):
    x, log_mean = jnp.full(1, count, jnp.float32), jnp.full(1, np.log(count + 1), jnp.float32)
    value, slopes = VALUE_AND_SLOPES(x, log_mean, jnp.full(1, -20.0))
    np.testing.assert_allclose(value, -stats.poisson.logpmf(count, count + 1), atol=2e-2, rtol=0)
    np.testing.assert_allclose(slopes, [[1], [0]], atol=1e-2)


@pytest.mark.parametrize("r", [7.9, 7.9999995, 8.0000005, 8.1, 1e3, 1e6])
@pytest.mark.parametrize("count", [0.0, 1.0, 9.0, 300.0])
def test_both_forms_meet_where_they_change_over(r, count):
    x, log_mean, log_size, step = np.array([count]), np.array([2.0]), np.log([r]), 1e-4
    expected = functools.partial(reference.negative_binomial_by_size, x, log_mean)
    with jax.enable_x64(True):
        value, (_, slope) = VALUE_AND_SLOPES(x, log_mean, -log_size)
    entry, magnitude = expected(log_size)
    np.testing.assert_allclose(-value, entry[0], rtol=0, atol=1e-12 * magnitude[0])
    difference = expected(log_size + step)[0] - expected(log_size - step)[0]
    np.testing.assert_allclose(slope, difference / (2 * step), rtol=1e-6, atol=1e-6)


def test_mode_is_the_most_probable_count():
    mean, dispersion = np.array([0.7, 3.3, 8.4, 20.0]), np.array([0.1, 2.0, 0.3, 0.75])
    y = np.log(np.concatenate([mean, dispersion])).astype(np.float32)
    table = scipys(mean, dispersion).pmf(np.arange(60)[:, None])
    np.testing.assert_array_equal(LIKELIHOOD.mode({}, y), table.argmax(0))


def test_small_gamma_shapes_neither_underflow_nor_overflow():
    keys = jax.random.split(jax.random.key(1), DRAWS)
    for log_mean, log_dispersion in ((30, 15), (1e4, 1e4), (0, 20), (-1e4, -1e4)):
        y = np.float32([log_mean, log_dispersion])
        draws = np.asarray(compiled("negative_binomial", "draw")({}, y, keys))
        assert ((draws >= 0) & np.isfinite(draws) & (draws == np.rint(draws))).all()


def test_halves_are_refused():
    with pytest.raises(ae.errors.DataError, match=r"negative_binomial .* got 0\.5 at \(0, 1\)"):
        LIKELIHOOD.validate(np.array([[0.0, 0.5]]))
