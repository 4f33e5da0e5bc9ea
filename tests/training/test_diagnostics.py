"""The norms of the terms' gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ae_jax as ae
from ae_jax.testing._batches import small_model
from tests import fast


def test_the_norms_of_terms_are_those_of_each_alone():
    objective = ae.terms.reconstruction() + 4.0 * ae.terms.kl(schedule=lambda step: (step + 1) / 8)
    model = small_model((6,))
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    players = lambda terms: ae.training.single_player(terms, optax.sgd(0.1), variables)
    variables = jax.eval_shape(model.init, jax.random.key(0), x[0])
    init = lambda: ae.training.init_state(model, players(objective), x[0], seed=0)
    state = fast.jit(init)()
    state = state._replace(step=jnp.int32(3))
    norms = fast.jit(
        lambda state, batch: ae.training.term_gradient_norms(model, objective, state, batch)
    )(state, ae.Batch(x))
    assert set(norms) == {"reconstruction", "kl"}
    for term in objective.terms:
        single = players(ae.Objective((term,)))
        step = fast.jit(ae.training.make_step(model, single, num_train=8))
        _, metrics = step(state, ae.Batch(x))
        np.testing.assert_allclose(norms[term.name], metrics["grad_norm"], rtol=1e-5)
