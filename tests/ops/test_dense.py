"""The dense layer: Flax's numbers and gradients, in other products on CPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.networks._dense import Dense
from ae_jax.ops import dense
from tests import fast

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def close(got, expected):
    same = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-4)
    jax.tree.map(same, got, expected)


def lowered(fn, *args, platform):
    return jax.jit(fn).trace(*args).lower(lowering_platforms=(platform,)).as_text()


def batched(layer):
    return jax.vmap(lambda p, x: layer.apply({"params": p}, x), (None, 0))


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize(
    ("positions", "features"), [((), 3), ((), dense.WIDE), ((1,), 3), ((5,), 3), ((2, 4), 3)]
)
def test_a_dense_layer_is_flaxs(positions, features, dtype):
    ours, theirs = Dense(features, dtype), nn.Dense(features, dtype=dtype)
    x, back = draw(6, *positions, 4), draw(6, *positions, features)
    params = [layer.init(jax.random.key(1), x[0])["params"] for layer in (ours, theirs)]
    jax.tree.map(np.testing.assert_array_equal, *params)
    loss = lambda layer, p, x: jnp.sum(back * batched(layer)(p, x))
    results = [
        fast.jit(jax.value_and_grad(functools.partial(loss, layer), (0, 1)))(params[1], x)
        for layer in (ours, theirs)
    ]
    tolerance = 1e-5 if dtype is None else 2e-2
    for got, expected in zip(*map(jax.tree.leaves, results), strict=True):
        got, expected = (np.asarray(value, np.float64) for value in (got, expected))
        assert got.shape == expected.shape
        assert np.linalg.norm(got - expected) <= tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("positions", [1, 5])
@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_products_of_many_positions_are_products_with_their_gradients(positions, platform):
    x, weights, back = draw(3, positions, 4), draw(4, 6), draw(3, positions, 6)
    multiply = jax.vmap(dense.multiply, (0, None))
    y, pull_back = jax.vjp(multiply, x, weights)
    close(y, x @ weights)
    close(pull_back(back), (back @ weights.T, np.einsum("bni,bno->io", x, back)))
    held = "optimization_barrier" in lowered(multiply, x, weights, platform=platform)
    assert held == (platform == "cpu" and positions > 1)


@pytest.mark.parametrize(("platform", "used"), [("cpu", 2), ("cpu", 3), ("tpu", 2)])
def test_of_few_units_only_their_rows_are_read(platform, used):
    units = 2 * dense.FEW
    places = np.stack([RNG.choice(units, used, replace=False) for _ in range(5)])
    x = np.zeros((5, units), np.float32)
    np.put_along_axis(x, places, draw(5, used), axis=1)
    weights, back = draw(units, 3), draw(5, 3)
    multiply = jax.vmap(dense.multiply, (0, None, 0))
    y, pull_back = jax.vjp(lambda x, w: multiply(x, w, places), x, weights)
    close(y, x @ weights)
    x_bar, weights_bar = pull_back(back)
    close(weights_bar, x.T @ back)
    seen = lambda rows: np.take_along_axis(np.asarray(rows), places, axis=1)
    close(seen(x_bar), seen(back @ weights.T))
    text = lowered(multiply, x, weights, places, platform=platform)
    assert ("gather" in text) == (platform == "cpu" and used * dense.FEW <= units)


def test_a_topk_models_gradients_are_those_of_all_units():
    units, examples = 4 * dense.FEW, 6
    network, likelihood = ae.networks.linear(), ae.likelihoods.gaussian()
    bottleneck = ae.bottlenecks.topk(units, k=4)
    model = ae.autoencoder(network, network, bottleneck, likelihood, event_shape=(7,))
    variables = model.init(jax.random.key(0), draw(7))
    batch = ae.Batch(jnp.asarray(draw(examples, 7)))
    keys = keys_lib.for_examples(jax.random.key(1), 0, jnp.arange(examples, dtype=jnp.uint32))

    def gradients(model):
        def loss(params):
            return -jnp.mean(
                model.forward(variables._replace(params=params), batch, keys)[0].log_px
            )

        return fast.jit(jax.grad(loss))(variables.params)

    def blind(*args, active, **options):
        assert active.shape == (4,)
        return model.decoder.apply(*args, **options)

    every_unit = model._replace(decoder=model.decoder._replace(apply=blind))
    close(gradients(model), gradients(every_unit))


def test_what_all_examples_share_is_added_and_its_gradient_summed():
    x, shared, weights = draw(5, 3, 4), draw(3, 4), draw(5, 3, 4)

    def loss(add):
        return lambda x, s: jnp.sum(weights * jnp.sin(jax.vmap(add, in_axes=(0, None))(x, s)))

    ours, plain = loss(dense.add_shared), loss(jnp.add)
    for order in (jax.grad, jax.jacfwd, jax.hessian):
        derivative = lambda fn, order=order: jax.jit(order(fn, argnums=(0, 1)))(x, shared)
        close(derivative(ours), derivative(plain))
    half = jax.grad(ours, argnums=1)(x, shared.astype(jnp.bfloat16))
    np.testing.assert_allclose(half, jax.grad(plain, argnums=1)(x, shared), rtol=0.02, atol=0.02)
    nothing = jnp.zeros((0, 4))
    assert jax.grad(lambda s: jnp.sum(dense.add_shared(nothing, s)))(nothing).shape == (0, 4)


def test_the_gradient_of_what_is_shared_is_as_exact_as_a_sum():
    total = lambda s, x: jnp.sum(jax.vmap(dense.add_shared, in_axes=(0, None))(x, s))
    for dtype, asked in ((jnp.float32, 1), (jnp.bfloat16, 0)):
        arguments = jnp.asarray(draw(3, 4), dtype), jnp.asarray(draw(5, 3, 4), dtype)
        program = lowered(jax.grad(total), *arguments, platform="tpu")
        assert program.count("dot_general") == 1
        assert program.count("HIGHEST, HIGHEST") == asked
