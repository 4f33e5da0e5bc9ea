"""Posteriors and priors against SciPy, and their divergences against Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax.distributions import (
    DiagonalGaussian,
    PointMass,
    kl_divergence,
    standard_normal,
)
from ae_jax.types import Distribution
from tests import fast

RNG = np.random.default_rng(0)
SHAPE = (2, 3)
LOC, LOG_VAR, VALUE = (RNG.normal(size=SHAPE).astype(np.float32) for _ in range(3))
GAUSSIAN = DiagonalGaussian(jnp.asarray(LOC), jnp.asarray(LOG_VAR))
POINT = PointMass(jnp.asarray(LOC))
DRAWS = 100_000


@fast.jit
def draw(q, key):
    return jax.vmap(q.sample)(jax.random.split(key, DRAWS))


@pytest.mark.parametrize("q", [GAUSSIAN, POINT], ids=["gaussian", "point"])
def test_distributions_keep_the_protocol(q):
    assert isinstance(q, Distribution)
    key = jax.random.key(0)
    assert q.mean.shape == q.mode.shape == q.sample(key).shape == SHAPE
    np.testing.assert_array_equal(q.mean, LOC)
    np.testing.assert_array_equal(q.mode, LOC)


def test_the_log_density_of_a_gaussian_is_scipys():
    expected = stats.norm(LOC, np.exp(0.5 * LOG_VAR)).logpdf(VALUE).sum()
    np.testing.assert_allclose(GAUSSIAN.log_prob(VALUE), expected, rtol=1e-6)


def test_gaussian_samples_have_both_moments():
    # A sample made with the variance for the standard deviation would fail the second by far.
    sample = np.asarray(draw(GAUSSIAN, jax.random.key(1)), np.float64)
    var = np.exp(LOG_VAR)
    np.testing.assert_array_less(np.abs(sample.mean(0) - LOC), 5 * np.sqrt(var / DRAWS))
    np.testing.assert_array_less(np.abs(sample.var(0) / var - 1), 5 * np.sqrt(2 / DRAWS))
    flat = (sample.reshape(DRAWS, -1) - LOC.ravel()) / np.sqrt(var.ravel())
    off_diagonal = np.corrcoef(flat.T) - np.eye(6)
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(DRAWS)


def test_gaussian_samples_are_reparameterised():
    key, sigma = jax.random.key(2), np.exp(0.5 * LOG_VAR)
    sample, pull = jax.vjp(lambda q: q.sample(key), GAUSSIAN)
    gradient = pull(jnp.ones(SHAPE))[0]
    np.testing.assert_allclose(gradient.loc, 1.0)
    np.testing.assert_allclose(gradient.log_var, 0.5 * (sample - LOC), rtol=1e-4, atol=1e-6)
    assert sigma.min() > 0


def test_a_point_mass_has_no_density_and_no_spread():
    assert POINT.log_prob(VALUE) is None
    np.testing.assert_array_equal(POINT.sample(jax.random.key(0)), LOC)


def test_standard_normal_is_scipys():
    expected = stats.norm.logpdf(VALUE).sum()
    np.testing.assert_allclose(standard_normal(SHAPE).log_prob(VALUE), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "prior",
    [standard_normal(SHAPE), DiagonalGaussian(jnp.asarray(VALUE), jnp.asarray(-LOG_VAR))],
    ids=["standard", "general"],
)
def test_the_closed_form_of_kl_agrees_with_monte_carlo(prior):
    def log_ratio(z):
        return GAUSSIAN.log_prob(z) - prior.log_prob(z)

    ratios = np.asarray(fast.jit(jax.vmap(log_ratio))(draw(GAUSSIAN, jax.random.key(3))))
    closed = kl_divergence(GAUSSIAN, prior)
    error = ratios.std() / np.sqrt(DRAWS)
    assert abs(ratios.mean(dtype=np.float64) - closed) < 4 * error
    assert closed > 100 * error


def test_kl_to_itself_is_zero_and_unknown_pairs_have_none():
    np.testing.assert_allclose(kl_divergence(GAUSSIAN, GAUSSIAN), 0, atol=1e-6)
    assert kl_divergence(POINT, GAUSSIAN) is None
    assert kl_divergence(GAUSSIAN, POINT) is None
