"""FLOP counts against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, PartitionSpec

import ae_jax as ae
from ae_jax.benchmarking.pods import programs
from ae_jax.benchmarking.program import flops
from ae_jax.ops import convolution as _convolution


def struct(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def square(h, w):
    return h @ w, None


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("ij,jk->ik", [(3, 5), (5, 7)], 2 * 3 * 5 * 7),
        ("bij,bjk->bik", [(4, 3, 5), (4, 5, 7)], 2 * 4 * 3 * 5 * 7),
        ("bqhd,bkhd->bhqk", [(2, 3, 4, 5), (2, 6, 4, 5)], 2 * 2 * 4 * 3 * 6 * 5),
        ("i,i->", [(9,), (9,)], 2 * 9),
    ],
)
def test_a_product_is_two_operations_for_each_pair_it_multiplies(equation, shapes, expected):
    found = flops.count(lambda a, b: jnp.einsum(equation, a, b), *(struct(*s) for s in shapes))
    assert found == flops.Flops(products=expected)


@pytest.mark.parametrize("batch", [8, 24])
def test_the_step_of_an_mlp_vae_is_six_per_weight_less_the_first_layers_input_gradient(batch):
    data, hidden, latent = 64, 32, 4
    network = ae.networks.mlp(hidden=(hidden,))
    recipe = ae.recipes.vae(
        latent, encoder=network, decoder=network, likelihood=ae.likelihoods.bernoulli()
    )
    model, objective = recipe.build(ae.types.Spec((data,), "binary"))
    variables = model.init(jax.random.key(0), np.zeros(data, np.float32))
    players = ae.training.single_player(objective, optax.adam(1e-3), variables)
    state = ae.training.init_state(model, players, np.zeros(data, np.float32), seed=0)
    step = ae.training.make_step(model, players, num_train=1000)
    found = flops.count(step, state, ae.Batch(struct(batch, data)))
    layers = [(data, hidden), (hidden, 2 * latent), (latent, hidden), (hidden, data)]
    weights = sum(a * b for a, b in layers)
    assert found.total == 2 * batch * (3 * weights - data * hidden)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [((8, 8), 4, 2), ((9, 6), 3, 1), ((7, 5), 3, 2), ((6, 6), 5, 3)]
)
def test_a_convolution_and_its_gradients_count_what_lies_on_the_image(size, kernel, stride):
    batch, channels, features = 3, 2, 5
    x, w = struct(batch, *size, channels), struct(kernel, kernel, channels, features)
    convolve = lambda x, w: jax.vmap(lambda x: _convolution.convolve_natively(x, w, stride))(x)

    def on_image(n):
        outputs = -(-n // stride)
        low = max((outputs - 1) * stride + kernel - n, 0) // 2
        return sum(0 <= i * stride + a - low < n for i in range(outputs) for a in range(kernel))

    one = 2 * batch * channels * features * on_image(size[0]) * on_image(size[1])
    assert flops.count(convolve, x, w) == flops.Flops(convolutions=one)
    gradient = jax.grad(lambda x, w: jnp.sum(convolve(x, w) ** 2), argnums=(0, 1))
    assert flops.count(gradient, x, w).convolutions == 3 * one
    y = struct(batch, *(-(-n // stride) for n in size), features)
    back = struct(kernel, kernel, features, channels)
    transposed = lambda y, w: jax.vmap(
        lambda y: _convolution.transposed_natively(y, w, size, stride)
    )(y)
    assert flops.count(transposed, y, back).convolutions == one


def test_grouped_convolutions_count_their_own_channels():
    x, w = struct(2, 8, 8, 6), struct(3, 3, 2, 9)  # three groups of two channels
    valid = lambda x, w: jax.lax.conv_general_dilated(
        x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=3
    )
    one = 2 * 2 * 6 * 6 * 9 * 9 * 2
    assert flops.count(valid, x, w).total == one
    gradient = jax.grad(lambda x, w: jnp.sum(valid(x, w) ** 2), argnums=(0, 1))
    assert flops.count(gradient, x, w).total == 3 * one


def test_only_one_platforms_convolution_counts():
    x, w = struct(2, 8, 8, 3), struct(3, 3, 3, 4)
    convolve = lambda x, w: jnp.sum(jax.vmap(_convolution.convolve, (0, None))(x, w) ** 2)
    native = flops.count(convolve, x, w, platform="tpu")
    assert native == flops.count(convolve, x, w)
    assert native == flops.Flops(convolutions=2 * 2 * 3 * 4 * (3 * 8 - 2) ** 2)
    assert flops.count(convolve, x, w, platform="cpu") == flops.Flops(products=2 * 128 * 27 * 4)
    gradient = jax.grad(convolve, argnums=(0, 1))
    assert flops.count(gradient, x, w, platform="tpu").total == 3 * native.total


def test_loops_count_as_often_as_they_turn():
    x, ws, one = struct(8, 16), struct(5, 16, 16), 2 * 8 * 16 * 16
    scanned = lambda x, ws: jax.lax.scan(square, x, ws)[0]
    assert flops.count(scanned, x, ws).total == 5 * one
    assert flops.count(jax.jit(scanned), x, ws).total == 5 * one
    twice = lambda x, ws: jax.lax.fori_loop(0, 2, lambda i, x: scanned(x, ws), x)
    assert flops.count(twice, x, ws).total == 10 * one
    traced = lambda x, ws, n: jax.lax.fori_loop(0, n, lambda i, x: scanned(x, ws), x)
    assert flops.count(traced, x, ws, struct(dtype="int32")).total == 5 * one
    mapped = lambda x, ws: jax.lax.map(lambda w: x @ w, ws)
    assert flops.count(mapped, x, ws).total == 5 * one


def test_rematerialisation_counts_what_it_computes_again():
    x, ws, one = struct(8, 16), struct(5, 16, 16), 2 * 8 * 16 * 16
    body = lambda h, w: (jnp.tanh(h @ w), None)

    def gradient(body):
        loss = lambda x, ws: jnp.sum(jax.lax.scan(body, x, ws)[0])
        return jax.grad(loss, argnums=(0, 1))

    assert flops.count(gradient(body), x, ws).total == 3 * 5 * one
    assert flops.count(gradient(jax.checkpoint(body)), x, ws).total == 4 * 5 * one


def test_what_the_same_inputs_give_counts_once():
    """As the compiler has it; other inputs, other weights, a loop's next turn are not the same."""
    x, ws, one = struct(8, 16), struct(2, 16, 16), 2 * 8 * 16 * 16
    product = jax.jit(lambda x, w: jnp.tanh(x @ w))
    again = lambda x, ws: product(x, ws[0]) + jax.nn.relu(product(x, ws[0]) + x @ ws[0])
    other = lambda x, ws: product(x, ws[0]) + product(2 * x, ws[0]) + product(x, ws[1])
    turns = lambda x, ws: jax.lax.map(lambda _: x @ ws[0], jnp.arange(3))
    for function, number in ((again, 1), (other, 3), (turns, 3)):
        assert flops.count(function, x, ws).total == number * one
    for function in (again, other):
        compiled = jax.jit(function).lower(x, ws).compile().as_text()
        assert compiled.count(" dot(") == flops.count(function, x, ws).total // one


def test_a_critics_verdicts_count_once_though_several_terms_look_at_them():
    network = ae.networks.mlp((16,))
    recipe = ae.recipes.gan(4, decoder=network, critic=network)
    (critic,) = recipe.players
    bare = recipe._replace(players=(critic._replace(objective=ae.terms.discriminator()),))
    counted = [programs.model_flops(ae.config.for_recipe(r), 32).total for r in (recipe, bare)]
    assert counted[0] == counted[1]


def test_of_a_choice_the_dearer_branch_counts():
    x, w = struct(8, 16), struct(16, 16)
    either = lambda x, w: jax.lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w)
    assert flops.count(either, x, w).total == 2 * 2 * 8 * 16 * 16


def test_custom_gradients_are_followed():
    product = jax.custom_vjp(lambda x, w: x @ w)
    product.defvjp(lambda x, w: (x @ w, (x, w)), lambda saved, g: (g @ saved[1].T, saved[0].T @ g))
    x, w, one = struct(8, 16), struct(16, 16), 2 * 8 * 16 * 16
    assert flops.count(product, x, w).total == one
    gradient = jax.grad(lambda x, w: jnp.sum(product(x, w) ** 2), argnums=(0, 1))
    assert flops.count(gradient, x, w).total == 3 * one


def test_devices_count_together():
    x, w, whole = struct(16, 8), struct(8, 8), 2 * 16 * 8 * 8
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("data", "fsdp"))
    split, every = PartitionSpec(("data", "fsdp")), PartitionSpec()
    product = lambda x, w: x @ w
    shards = jax.shard_map(
        product, mesh=mesh, in_specs=(split, every), out_specs=split, check_vma=False
    )
    assert flops.count(shards, x, w).total == whole
    copies = jax.shard_map(
        product, mesh=mesh, in_specs=(every, every), out_specs=every, check_vma=False
    )
    assert flops.count(copies, x, w).total == 4 * whole
    mapped = jax.pmap(product, in_axes=(0, None), devices=jax.devices()[:4])
    assert flops.count(mapped, struct(4, 4, 8), w).total == whole
