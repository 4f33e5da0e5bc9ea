"""Sigmoid units, plain and standardised over the units of an example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import ae_jax as ae

FEATURES = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def test_the_code_is_the_sigmoid_of_the_features():
    bottleneck = ae.bottlenecks.sparse((4, 3))
    params, state = bottleneck.init(jax.random.key(0))
    assert params == {}
    z = bottleneck.latent(params, state, bottleneck.posterior(params, state, FEATURES), None)
    np.testing.assert_allclose(z, expit(np.float64(FEATURES)), rtol=1e-6)


def test_standardised_units_have_mean_and_deviation_of_gain_and_bias():
    bottleneck = ae.bottlenecks.sparse((4, 3), normalise=True)
    params, state = bottleneck.init(jax.random.key(0))
    params = {"gain": params["gain"] * 2, "bias": params["bias"] - 1}
    code = lambda x: bottleneck.posterior(params, state, x).mean
    exact = np.float64(FEATURES)
    unit = (exact - exact.mean()) / exact.std()
    np.testing.assert_allclose(code(FEATURES), expit(2 * unit - 1), rtol=1e-5)
    np.testing.assert_allclose(code(7 * FEATURES + 3), code(FEATURES), rtol=1e-4)


def test_constant_features_stay_finite_with_their_gradient():
    bottleneck = ae.bottlenecks.sparse(3, normalise=True)
    params, state = bottleneck.init(jax.random.key(0))
    total = lambda x: jnp.sum(bottleneck.posterior(params, state, x).mean)
    value, slope = jax.value_and_grad(total)(jnp.ones(3))
    assert value == pytest.approx(1.5)
    assert np.isfinite(slope).all()
