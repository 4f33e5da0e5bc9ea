"""The Hamiltonian bound as a term: by hand from its parts, and with what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax import losses, terms
from ae_jax.terms.hamiltonian import MOMENTUM_DRAW
from tests import fast
from tests.terms.setting import NETWORK, evaluate, setting

X = np.random.default_rng(0).random((4, 6)).astype(np.float32)
NAMES = {"hamiltonian"}


@pytest.mark.slow
def test_it_is_the_bound_of_each_sample_and_moves_step_sizes_and_tempering():
    likelihood, bottleneck = ae.likelihoods.bernoulli(), ae.bottlenecks.hamiltonian(3, beta=0.25)
    model = ae.autoencoder(NETWORK, NETWORK, bottleneck, likelihood, event_shape=(6,))
    variables = model.init(jax.random.key(0), X[0])
    batch, row = ae.Batch(jnp.asarray(X)), 1
    keys = keys_lib.for_examples(jax.random.key(1), 0, np.arange(4))
    (term,) = terms.hamiltonian(leapfrog=3, samples=2).terms

    def loss(params, outputs):
        inner = variables._replace(params=params)
        return term.per_example(outputs, ae.Context(model, inner, batch, keys, jnp.int32(0), 100))

    def by_hand(outputs, i):
        def log_joint(z):
            y = model.decode_parameters(variables, z[None])[0]
            normal = jnp.sum(jax.scipy.stats.norm.logpdf(z))
            return likelihood.log_prob({}, y, X[row], None) + normal

        key = jax.random.fold_in(jax.random.fold_in(keys.latent[row], MOMENTUM_DRAW), i)
        z, noise = outputs.z[row, i], jax.random.normal(key, (3,))
        how = outputs.log_qz[row, i], jnp.full(3, 0.05), 0.5, 3
        return losses.hamiltonian_bound(log_joint, z, noise, *how)

    def everything(params):
        outputs, _ = model.forward(variables, batch, keys, samples=2)
        grads = jax.grad(lambda params: loss(params, outputs).mean())(params)
        drawn = jnp.stack([by_hand(outputs, i) for i in range(2)])
        return loss(params, outputs), drawn, grads["bottleneck"]

    found, drawn, grads = fast.jit(everything)(variables.params)
    np.testing.assert_allclose(found[row], -np.mean(drawn), rtol=1e-5)
    assert np.abs(grads["step_size"]).min() > 0
    assert np.abs(grads["root"]) > 0


def test_it_is_refused_without_step_sizes_and_out_of_range():
    with pytest.raises(ae.errors.PartError, match="needs a bottleneck with step sizes to learn"):
        evaluate(setting("gaussian"), bad=terms.hamiltonian())
    with pytest.raises(ae.errors.ConfigError, match="leapfrog must be a positive whole number"):
        terms.hamiltonian(leapfrog=0)
    with pytest.raises(ae.errors.ConfigError, match=r"step_size must lie in \(0, 0.5\), got 0.5"):
        ae.bottlenecks.hamiltonian(3, step_size=0.5)
    with pytest.raises(ae.errors.ConfigError, match=r"beta must lie in \(0, 1\), got 1"):
        ae.bottlenecks.hamiltonian(3, beta=1)
