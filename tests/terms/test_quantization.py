"""Commitment and codebook terms: sums over positions and dimensions, one an example."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax import terms
from tests import fast
from tests.bottlenecks.updates import AS_IT_IS
from tests.terms.setting import setting

D, CODES = 3, 8
RNG = np.random.default_rng(0)


def losses_of(x, decay=None, **objectives):
    """Each objective's value an example and its mean, where the features are x."""
    x = jnp.asarray(x, jnp.float32)
    bottleneck = ae.bottlenecks.vector_quantized(x.shape[1:], CODES, decay)
    model = ae.autoencoder(AS_IT_IS, AS_IT_IS, bottleneck, ae.likelihoods.gaussian())

    def run():
        params, state = bottleneck.init(jax.random.key(0))
        variables = ae.Variables({"bottleneck": params}, {"bottleneck": state})
        batch, keys = ae.Batch(x), keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(len(x)))
        outputs, _ = model.forward(variables, batch, keys)
        context = ae.Context(model, variables, batch, keys, jnp.int32(0), 100)
        each = lambda objective: objective.terms[0].per_example(outputs, context)
        values = {
            name: (each(objective), objective(outputs, context)[0])
            for name, objective in objectives.items()
        }
        return values, outputs.posterior

    return jax.device_get(fast.jit(run)())


@pytest.mark.parametrize("positions", [(), (4,), (2, 3)])
def test_both_are_squared_distances_summed_over_positions_and_dimensions(positions):
    x = RNG.normal(size=(5, *positions, D))
    found, posterior = losses_of(x, commitment=terms.commitment(), codebook=terms.codebook())
    wanted = np.sum(
        (np.float32(x) - np.float64(posterior.codes)) ** 2, axis=tuple(range(1, x.ndim))
    )
    for each, mean in found.values():
        np.testing.assert_allclose(each, wanted, rtol=1e-6)
        np.testing.assert_allclose(mean, wanted.mean(), rtol=1e-6)


@pytest.mark.parametrize("decay", [0.99, None])
def test_the_loss_does_not_grow_with_the_batch(decay):
    """As reconstruction: n copies of an example cost what one does, n positions n times that."""
    x = RNG.normal(size=(1, 1, D))
    run = functools.partial(losses_of, decay=decay, commitment=terms.commitment())
    mean = lambda x: run(x)[0]["commitment"][1]
    one = mean(x)
    np.testing.assert_allclose(mean(np.tile(x, (7, 1, 1))), one, rtol=1e-6)
    np.testing.assert_allclose(mean(np.tile(x, (1, 7, 1))), 7 * one, rtol=1e-6)


def test_other_codes_and_averaged_codebooks_are_refused():
    made = setting("identity", encoder=ae.networks.linear(), decoder=ae.networks.linear())
    for name in ("commitment", "codebook"):
        objective = getattr(terms, name)()
        with pytest.raises(ae.errors.PartError, match=f"'{name}' needs .*, got .*PointMass"):
            objective(made.outputs, made.context)
    with pytest.raises(
        ae.errors.PartError, match="'codebook' moves a codebook that is a parameter"
    ):
        losses_of(np.zeros((1, D)), decay=0.99, codebook=terms.codebook())
