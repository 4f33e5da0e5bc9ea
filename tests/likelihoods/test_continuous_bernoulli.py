"""The continuous Bernoulli likelihood against the formulas of its paper, and near λ = ½."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import ae_jax as ae
from ae_jax import losses

LIKELIHOOD = ae.likelihoods.continuous_bernoulli()
MEAN = jax.jit(LIKELIHOOD.mean)
LOG_PROBS_AND_SLOPES = jax.jit(
    jax.vmap(jax.value_and_grad(LIKELIHOOD.log_prob, 1), (None, 0, 0, None))
)
QUANTILE = jax.jit(losses.continuous_bernoulli_quantile)
LOGITS = np.array([-6.0, -1.5, -0.4, 0.3, 2.0, 9.0])
NEAR = np.array([0.0, 1e-30, -1e-12, 1e-8, -1e-6, 1e-4, -1e-3, 0.01, -0.1, 0.5, 0.99, -0.99, 1.01])


def atanh_form(probability):
    """2 atanh(1 - 2λ) / (1 - 2λ), the paper's C(λ)."""
    return 2 * np.arctanh(1 - 2 * probability) / (1 - 2 * probability)


def test_log_prob_is_the_papers():
    p, x = expit(LOGITS), np.linspace(0, 1, 6)
    expected = x * np.log(p) + (1 - x) * np.log1p(-p) + np.log(atanh_form(p))
    with jax.enable_x64(True):
        actual, _ = LOG_PROBS_AND_SLOPES({}, LOGITS, x, None)
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


def test_mean_is_the_papers():
    p = expit(LOGITS)
    expected = p / (2 * p - 1) + 1 / (2 * np.arctanh(1 - 2 * p))
    np.testing.assert_allclose(MEAN({}, jnp.asarray(LOGITS)), expected, rtol=2e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-7), (np.float64, 1e-13)])
def test_nothing_is_lost_near_one_half(dtype, tolerance):
    """Around l = 0, log C = -(l/2 + l²/24 - l⁴/2880 + …) and the mean is ½ + l/12 - l³/720 + …."""
    bernoulli_numbers = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
    log_c, mean, factorial = -NEAR / 2, np.full(NEAR.shape, 0.5), 1.0
    for i, number in enumerate(bernoulli_numbers):
        n = 2 * (i + 1)
        factorial *= n * (n - 1)
        log_c -= number * NEAR**n / (n * factorial)
        mean += number * NEAR ** (n - 1) / factorial
    with jax.enable_x64(dtype == np.float64):
        y = jnp.asarray(NEAR, dtype)
        value, slope = LOG_PROBS_AND_SLOPES({}, y, jnp.zeros_like(y), None)
        actual_mean = MEAN({}, y)
    np.testing.assert_allclose(value, log_c, rtol=10 * tolerance, atol=1e-35)
    np.testing.assert_allclose(actual_mean, mean, rtol=0, atol=2 * tolerance)
    np.testing.assert_allclose(slope, -mean, rtol=0, atol=2 * tolerance)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
def test_the_tails_are_exponentials(logit):
    size, x = abs(logit), np.float32([0, 0.25, 1])
    y = np.full(3, logit, np.float32)
    distance = 1 - x if logit > 0 else x
    value, slope = LOG_PROBS_AND_SLOPES({}, y, x, None)
    np.testing.assert_allclose(value, np.log(size) - size * distance, rtol=1e-6)
    np.testing.assert_allclose(slope, np.sign(logit) * (1 / size - distance), atol=1e-7)
    np.testing.assert_allclose(MEAN({}, y), 1 - 1 / size if logit > 0 else 1 / size, rtol=1e-6)
    np.testing.assert_array_equal(LIKELIHOOD.mode({}, y), logit > 0)


def test_the_quantile_inverts_the_distribution_function():
    u = np.linspace(0, 0.999, 9)[:, None]
    logits = np.array([-300.0, -5.0, -0.01, 0.01, 5.0, 300.0])
    with jax.enable_x64(True):
        x = np.asarray(QUANTILE(u + 0 * logits, logits + 0 * u))
    # F(x) = (1 - e^(l x)) / (1 - eˡ), in the form that neither side overflows.
    below = np.expm1(logits * x) / np.expm1(logits)
    above = np.exp(logits * (x - 1)) * np.expm1(-logits * x) / np.expm1(-logits)
    np.testing.assert_allclose(np.where(logits < 0, below, above), u + 0 * logits, atol=1e-12)


@pytest.mark.parametrize("logit", [-1e4, -1e-7, 0.0, 1e-7, 1e4])
def test_quantiles_of_extreme_logits_stay_in_the_unit_interval(logit):
    u = jnp.array([0.0, 1e-7, 0.5, 1 - 1e-7], jnp.float32)
    x = np.asarray(QUANTILE(u, np.full(4, logit, np.float32)))
    assert ((x >= 0) & (x <= 1)).all()
    assert (np.diff(x) >= 0).all()
    assert x[0] == 0
    if abs(logit) < 1:
        np.testing.assert_allclose(x, u, atol=1e-6)
