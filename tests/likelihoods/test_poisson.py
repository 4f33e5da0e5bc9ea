"""The Poisson likelihood against SciPy, for rare and for huge counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from tests.likelihoods.cases import DRAWS, compiled

LIKELIHOOD = ae.likelihoods.poisson()


def test_log_prob_is_scipys():
    rng = np.random.default_rng(0)
    log_rate = rng.normal(1, 2, 100)
    x = rng.poisson(np.exp(log_rate))
    with jax.enable_x64(True):
        got = LIKELIHOOD.log_prob({}, jnp.asarray(log_rate), jnp.asarray(x), None)
    # The bound on the log-rate moves rates by less than 1e-6.
    np.testing.assert_allclose(got, stats.poisson.logpmf(x, np.exp(log_rate)).sum(), rtol=1e-9)


def test_many_zero_counts_of_small_rates_add_up():
    """The bias that an inexact log 0! would leave, of 5e-7 a zero, is ten times the sum here."""
    y = jnp.full(20_000, -17.0)
    got = LIKELIHOOD.log_prob({}, y, jnp.zeros(20_000), None)
    np.testing.assert_allclose(got, -20_000 * np.exp(-17), rtol=1e-4)


def test_the_gradient_is_the_count_less_the_rate():
    y, x = jnp.array([-3.0, 0.0, 2.0, 9.0]), jnp.array([0.0, 1.0, 5.0, 8000.0])
    gradient = jax.grad(LIKELIHOOD.log_prob, 1)({}, y, x, None)
    np.testing.assert_allclose(gradient, x - np.exp(y), rtol=1e-5, atol=1e-6)


def test_wild_log_rates_are_bounded():
    mean = LIKELIHOOD.mean({}, jnp.array([-1e4, 16.0, 1e4]))
    np.testing.assert_allclose(mean, np.exp([-30.0, 16.0, 30.0]), rtol=2e-5)


@pytest.mark.parametrize("log_rate", [4.0, 12.4, 12.5, 19.0, 1e4])
def test_huge_rates_are_sampled_with_mean_and_deviation(log_rate):
    """Whose skewness, 1 / √λ, is small, so that chi-square bounds the deviation."""
    y, keys = np.float32([log_rate]), jax.random.split(jax.random.key(1), DRAWS)
    draws = np.asarray(compiled("poisson", "draw")({}, y, keys), float)
    rate = float(LIKELIHOOD.mean({}, y)[0])
    assert (draws == np.rint(draws)).all()
    z = (draws - rate) / np.sqrt(rate)
    assert abs(z.mean()) < 5 / np.sqrt(DRAWS) + 1e-6 * np.sqrt(rate)  # float32's part
    assert abs(z.std() - 1) < 5 / np.sqrt(2 * DRAWS)


def test_mode_is_the_rate_rounded_down():
    y = np.log([0.3, 1.7, 12.5]).astype(np.float32)
    np.testing.assert_array_equal(LIKELIHOOD.mode({}, y), [0, 1, 12])


def test_bytes_and_integers_are_counts():
    for dtype in (np.uint8, np.int64, np.float32):
        LIKELIHOOD.validate(np.array([[0, 255]], dtype))
    with pytest.raises(
        ae.errors.DataError, match=r"poisson .* whole numbers from 0 on, got -3 at \(1,\)"
    ):
        LIKELIHOOD.validate(np.array([0, -3]))
