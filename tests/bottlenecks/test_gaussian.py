"""The diagonal-Gaussian bottleneck: moments, the bound of its log-variance, shapes."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.losses import bounded_log_var
from tests import fast

DRAWS = 100_000


def features_of(loc, log_var):
    return jnp.concatenate([jnp.asarray(loc), jnp.asarray(log_var)], axis=-1)


@pytest.mark.parametrize(
    ("latent_dim", "latent", "feature"),
    [(5, (5,), (10,)), ((4, 3), (4, 3), (4, 6)), ((2, 2, 1), (2, 2, 1), (2, 2, 2))],
)
def test_shapes(latent_dim, latent, feature):
    bottleneck = ae.bottlenecks.gaussian(latent_dim)
    assert (bottleneck.latent_shape, bottleneck.feature_shape) == (latent, feature)
    posterior = bottleneck.posterior({}, {}, jnp.zeros(feature))
    assert bottleneck.latent({}, {}, posterior, jax.random.key(0)).shape == latent
    assert bottleneck.prior(*bottleneck.init(jax.random.key(0))).mean.shape == latent


def test_the_encoder_emits_the_mean_first_and_the_log_variance_second():
    loc, log_var = np.float32([[0.5, -1.0], [2.0, 3.0]]), np.float32([[-2.0, 0.0], [1.0, 2.0]])
    posterior = ae.bottlenecks.gaussian((2, 2)).posterior({}, {}, features_of(loc, log_var))
    np.testing.assert_array_equal(posterior.loc, loc)
    np.testing.assert_allclose(posterior.log_var, log_var, atol=2e-6)


def test_samples_have_the_mean_and_the_variance_of_the_posterior():
    loc, log_var = np.float32([0.0, 3.0, -2.0]), np.float32([-3.0, 0.0, 2.5])
    bottleneck = ae.bottlenecks.gaussian(3)
    posterior = bottleneck.posterior({}, {}, features_of(loc, log_var))
    keys = jax.random.split(jax.random.key(0), DRAWS)
    sampled = fast.jit(jax.vmap(lambda key: bottleneck.latent({}, {}, posterior, key)))(keys)
    z, var = np.asarray(sampled, np.float64), np.exp(log_var)
    np.testing.assert_array_less(np.abs(z.mean(0) - loc), 5 * np.sqrt(var / DRAWS))
    np.testing.assert_array_less(np.abs(z.var(0) / var - 1), 5 * np.sqrt(2 / DRAWS))


def test_without_a_key_the_latent_is_the_mean():
    bottleneck = ae.bottlenecks.gaussian(2)
    posterior = bottleneck.posterior({}, {}, jnp.array([1.0, 2.0, 0.0, 0.0]))
    np.testing.assert_array_equal(bottleneck.latent({}, {}, posterior, None), [1, 2])
    sampled = bottleneck.latent({}, {}, posterior, jax.random.key(0))
    assert np.abs(sampled - np.array([1, 2])).min() > 1e-3


def test_the_bound_of_the_log_variance_is_invisible_where_it_matters():
    raw = np.linspace(-6, 6, 1001, dtype=np.float32)[1:-1]
    bounded = fast.jit(bounded_log_var)(raw)
    # The formula's own distance is softplus(-14) = 8.3e-7; the rest is float32 near 20 and 40.
    np.testing.assert_allclose(bounded, raw, rtol=0, atol=5e-6)
    exact = fast.jit(lambda v: bounded_log_var(v.astype(jnp.float64)))
    with jax.enable_x64(True):
        np.testing.assert_allclose(exact(jnp.asarray(raw, jnp.float64)), raw, rtol=0, atol=1e-6)


@pytest.mark.parametrize("raw", [-1e4, -100.0, -25.0, 0.0, 25.0, 100.0, 1e4])
def test_samples_density_and_divergence_are_finite_for_any_features(raw):
    bottleneck = ae.bottlenecks.gaussian(1)

    def everything(features):
        q = bottleneck.posterior({}, {}, features)
        z = bottleneck.latent({}, {}, q, jax.random.key(0))
        prior = bottleneck.prior({}, {})
        return q.log_prob(z) + prior.log_prob(z) + ae.distributions.kl_divergence(q, prior)

    value, gradient = fast.jit(jax.value_and_grad(everything))(jnp.array([0.5, raw]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    log_var = bottleneck.posterior({}, {}, jnp.array([0.5, raw])).log_var
    np.testing.assert_allclose(log_var, np.clip(raw, -20, 20), atol=0.01)


@pytest.mark.parametrize("latent_dim", [0, -1, (), (4, 0), 2.0, True, (3, 1.5)])
def test_sizes_that_are_not_positive_whole_numbers_are_refused(latent_dim):
    match = f"latent_dim must be a positive whole number .*, got {re.escape(repr(latent_dim))}"
    with pytest.raises(ae.errors.ConfigError, match=match):
        ae.bottlenecks.gaussian(latent_dim)
