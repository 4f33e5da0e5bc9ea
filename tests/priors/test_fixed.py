"""Priors: their parameters, their density, and how a bottleneck takes them."""

import jax
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae


@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_standard_normal_has_no_parameters_and_scipys_density(shape):
    prior = ae.priors.standard_normal()
    params = prior.init(jax.random.key(0), shape)
    assert jax.tree.leaves(params) == []
    z = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    p = prior.apply(params, shape)
    np.testing.assert_allclose(p.log_prob(z), stats.norm.logpdf(z).sum(), rtol=1e-6)
    assert p.mean.shape == shape


@pytest.mark.parametrize(
    "prior", ["standard_normal", {"name": "standard_normal"}, ae.priors.standard_normal()]
)
def test_a_bottleneck_takes_a_prior_by_name_node_or_part(prior):
    bottleneck = ae.bottlenecks.identity(3, prior=prior)
    params, state = bottleneck.init(jax.random.key(0))
    assert bottleneck.prior(params, state).mean.shape == (3,)


def test_an_unknown_prior_gets_the_nearest():
    with pytest.raises(ae.errors.UnknownNameError, match="did you mean 'standard_normal'"):
        ae.bottlenecks.gaussian(3, prior="standard_nomal")
