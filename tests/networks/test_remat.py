"""Deep networks: blocks computed again in the backward pass, and compiled once for any depth."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import ae_jax as ae
from ae_jax.networks import _attention
from ae_jax.training import init_state, make_step, single_player
from tests import fast
from tests.networks import checks

RNG = np.random.default_rng(0)
TOKENS = {"width": 8, "depth": 2, "heads": 2}
IMAGES = {"features": (4,), "depth": 1, "attention_at": True}
CASES = {
    "vit": (ae.networks.vit, {**TOKENS, "patch": 2, "pool": "mean"}, (7, 8, 1), (3,)),
    "vit_decoder": (ae.networks.vit_decoder, {**TOKENS, "patch": 2}, (3,), (7, 8, 1)),
    "transformer": (ae.networks.transformer, TOKENS, (9, 2), (3,)),
    "transformer_decoder": (ae.networks.transformer_decoder, TOKENS, (3,), (9, 2)),
    "resnet": (ae.networks.resnet, IMAGES, (7, 8, 1), (3,)),
    "resnet_decoder": (ae.networks.resnet_decoder, IMAGES, (3,), (7, 8, 1)),
}
DROPOUT = {"dropout": 0.2}
"""Its masks must be the same when a block is computed again."""


def difference(one, other):
    """The distance of two trees, by the norm of the one."""
    return optax.tree.norm(optax.tree.sub(one, other)) / optax.tree.norm(one)


def coders(name):
    """Without and with remat, parameters, and the input of one example."""
    factory, options, taken, shape = CASES[name]
    plain, again = (factory(**options, **DROPOUT, remat=r).bind(shape) for r in (False, True))
    x = jnp.asarray(RNG.normal(size=taken), jnp.float32)
    params = checks.drawn(jax.eval_shape(plain.init, jax.random.key(0), x)[0])
    return plain, again, params, x


def loss_of(coder, x):
    """The sum of sines of what it emits in training, of its parameters."""
    key = jax.random.key(1)
    return lambda params: jnp.sum(jnp.sin(coder.apply(params, {}, x, key=key, train=True)[0]))


def kept(coder, params, x):
    """The bytes that the forward pass keeps for the backward pass, parameters left out."""
    backward = jax.eval_shape(lambda params: jax.vjp(loss_of(coder, x), params)[1], params)
    size = lambda leaf: math.prod(leaf.shape) * leaf.dtype.itemsize
    return sum(map(size, jax.tree.leaves(backward))) - sum(map(size, jax.tree.leaves(params)))


@pytest.mark.parametrize("name", CASES)
def test_less_is_kept_for_the_backward_pass(name):
    plain, again, params, x = coders(name)
    assert kept(again, params, x) < 0.5 * kept(plain, params, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_remat_changes_neither_loss_nor_gradient(name):
    plain, again, params, x = coders(name)
    one, other = (fast.jit(jax.value_and_grad(loss_of(c, x)))(params) for c in (plain, again))
    assert optax.tree.norm(one[1]) > 0.1
    assert difference(one, other) <= 1e-6


def step_bytes(remat):
    """The temporary memory of a compiled training step of a transformer, and of its arguments."""
    network = functools.partial(ae.networks.vit, patch=2, width=16, depth=6, heads=2, remat=remat)
    recipe = ae.recipes.autoencoder(4, encoder=network(pool="mean"), decoder="linear")
    model, objective = recipe.build(ae.Spec((16, 16, 1), "real"))
    example = jnp.zeros((16, 16, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), example)
    players = single_player(objective, optax.sgd(1e-3), variables)
    state = jax.eval_shape(lambda: init_state(model, players, example, seed=0))
    batch = ae.Batch(jax.ShapeDtypeStruct((8, *example.shape), jnp.float32))
    step = fast.jit(make_step(model, players, num_train=100)).lower(state, batch).compile()
    memory = step.memory_analysis()
    return memory.temp_size_in_bytes, memory.argument_size_in_bytes


@pytest.mark.slow
def test_remat_lowers_the_memory_of_a_training_step():
    (plain, taken), (again, same) = step_bytes(remat=False), step_bytes(remat=True)
    assert taken == same
    assert again < 0.4 * plain


def unrolled(params, x, depth):
    """What a stack does, block by block, without a loop."""
    for i in range(depth):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], params["blocks"])
        x, _ = _attention.Block(2).apply({"params": own}, x, None, None, None)  # pyright: ignore
    return nn.LayerNorm().apply({"params": params["norm"]}, x)


@pytest.mark.slow
def test_a_scanned_stack_is_its_blocks_one_after_the_other(monkeypatch):
    monkeypatch.setattr(_attention, "SHALLOW", 2)
    x = jnp.asarray(RNG.normal(size=(5, 8)), jnp.float32)
    stack = _attention.Stack(depth=3, heads=2)
    params = checks.drawn(jax.eval_shape(stack.init, jax.random.key(0), x)["params"])
    scanned = lambda p: jnp.sum(jnp.sin(stack.apply({"params": p}, x)[0]))  # pyright: ignore
    one = fast.jit(jax.value_and_grad(scanned))(params)
    other = fast.jit(jax.value_and_grad(lambda p: jnp.sum(jnp.sin(unrolled(p, x, 3)))))(params)
    assert difference(one, other) <= 1e-6


@pytest.mark.parametrize("name", ["vit", "transformer_decoder"])
def test_one_block_of_a_deep_stack_is_compiled_whatever_its_depth(name):
    factory, options, taken, shape = CASES[name]

    def products(depth):
        coder = factory(**{**options, "depth": depth}).bind(shape)
        x = jnp.zeros(taken)
        params, _ = jax.eval_shape(coder.init, jax.random.key(0), x)
        return jax.jit(jax.grad(loss_of(coder, x))).lower(params).as_text().count("dot_general")

    assert products(_attention.SHALLOW + 1) == products(_attention.SHALLOW + 3) > 0


def test_blocks_start_apart():
    init = jax.jit(_attention.Stack(depth=2, heads=2).init, compiler_options=fast.options())
    kernels = init(jax.random.key(0), jnp.zeros((4, 8)))["params"]["blocks"]["expand"]["kernel"]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1
