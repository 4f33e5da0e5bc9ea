"""Recipes whose training goes in stages: who moves when."""

from typing import Any

import jax
import numpy as np
import optax

import ae_jax as ae
from ae_jax.recipes.players import arranged
from tests import fast, small

NETWORK = ae.networks.mlp((4,), "tanh")
PARTS = ("encoder", "decoder")


def equal(one: Any, other: Any) -> bool:
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


def test_an_aggressive_vaes_encoder_moves_each_step_and_its_decoder_once_in_three():
    x: Any = small.arrays()[:16]
    recipe = ae.recipes.aggressive_vae(2, every=3, encoder=NETWORK, decoder=NETWORK)
    model, objective = recipe.build(ae.spec_of(x))
    variables = jax.eval_shape(model.init, jax.random.key(0), x[0])
    sgd = optax.sgd(0.01)
    named: Any = recipe.players, objective, variables, sgd, None, lambda section: sgd
    players = arranged(*named)
    step = fast.jit(ae.training.make_step(model, players, num_train=len(x)))
    state = ae.training.init_state(model, players, x[0], seed=0)
    moved = []
    for _ in range(4):
        new, _ = step(state, ae.Batch(x))
        pairs = ((new.variables.params[part], state.variables.params[part]) for part in PARTS)
        moved.append([not equal(*pair) for pair in pairs])
        state = new
    assert moved == [[True, True], [True, False], [True, False], [True, True]]
