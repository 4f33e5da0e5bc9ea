"""The identity bottleneck."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae


@pytest.mark.parametrize(("latent_dim", "shape"), [(3, (3,)), ((4, 2), (4, 2)), ([2, 2], (2, 2))])
def test_the_latent_is_the_features(latent_dim, shape):
    bottleneck = ae.bottlenecks.identity(latent_dim)
    assert bottleneck.latent_shape == bottleneck.feature_shape == shape
    params, state = bottleneck.init(jax.random.key(0))
    assert jax.tree.leaves((params, state)) == []
    features = jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)
    posterior = bottleneck.posterior(params, state, features)
    assert posterior.log_prob(features) is None
    for key in (None, jax.random.key(1)):
        z = bottleneck.latent(params, state, posterior, key)
        np.testing.assert_array_equal(z, features)


def test_without_a_prior_there_is_none():
    bottleneck = ae.bottlenecks.identity(3)
    assert bottleneck.prior({}, {}) is None
    assert bottleneck.stats({}, None, None) == {}
    assert bottleneck.update({"kept": 1}, {}, None) == {"kept": 1}


@pytest.mark.parametrize("latent_dim", [0, -1, (), (4, 0), 2.0, True, (3, 1.5), "8"])
def test_sizes_that_are_not_positive_whole_numbers_are_refused(latent_dim):
    with pytest.raises(ValueError, match="latent_dim must be a positive whole number or a shape"):
        ae.bottlenecks.identity(latent_dim)
