"""Averages over the valid examples of the global batch, on any number of devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.training.parallel import strategies as parallel
from ae_jax.types import Node

RNG = np.random.default_rng(0)
BATCH = 16
VALUES = RNG.normal(size=(BATCH, 3)).astype(np.float32)
VALID = np.zeros(BATCH, bool)
VALID[[0, 1, 2, 3, 5, 8, 9]] = True  # on eight devices 2, 2, 1, 0, 2, 0, 0, 0: unequal numbers
WEIGHTS = jnp.asarray(RNG.normal(size=3), jnp.float32)


def context_of(x, valid, across=ae.types.ALONE):
    batch = ae.Batch(x, valid=valid)
    return ae.Context(None, ae.Variables({}, {}), batch, None, 0, 100, across)


def on_devices(count, per_device):
    """`(context, x)`'s result where x and valid are shared out over so many devices."""
    strategy = parallel.pmap(jax.devices()[:count])
    share = BATCH // count

    def per_shard(device, weights, x, valid):
        take = lambda v: jax.lax.dynamic_slice_in_dim(v, device.astype(jnp.int32) * share, share)
        return per_device(context_of(take(x), take(valid), strategy.across), weights, take(x))

    return strategy.compile("test", per_shard)(WEIGHTS, jnp.asarray(VALUES), jnp.asarray(VALID))


def loss(weights, context, x):
    """A per-example, a batch-coupled and a pairwise term of x · w, as this device's share."""
    code = jnp.tanh(x * weights)
    own = context.share(jnp.sum(code**2, -1))
    coupled = jnp.sum(jnp.exp(context.mean(code)))
    everyone, real = context.gather(code), context.all_valid()
    apart = jnp.sum((everyone[:, None] - everyone[None]) ** 2, -1)
    pairs = real[:, None] & real[None]
    pairwise = jnp.sum(jnp.where(pairs, apart, 0)) / jnp.sum(pairs)
    return own + context.share(jnp.broadcast_to(coupled + pairwise, x.shape[:1]))


def measured(context, weights, x):
    value, gradient = jax.value_and_grad(loss)(weights, context, x)
    return (*context.across.mean((value, gradient, context.share(x))), context.mean(x))


@functools.cache
def on_one_device():
    return on_devices(1, measured)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_masked_means_are_numpys_on_any_number_of_devices(count):
    _, _, averaged_share, mean = on_devices(count, measured)
    expected = VALUES[VALID].mean(0)
    np.testing.assert_allclose(mean, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(averaged_share, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_value_and_gradient_do_not_depend_on_the_number_of_devices(count):
    value, gradient, _, _ = on_devices(count, measured)
    np.testing.assert_allclose(value, on_one_device()[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, on_one_device()[1], rtol=1e-6, atol=1e-6)


def test_the_value_on_one_device_is_numpys():
    code = np.tanh(VALUES[VALID].astype(np.float64) * np.asarray(WEIGHTS))
    apart = np.sum((code[:, None] - code[None]) ** 2, -1)
    expected = np.sum(code**2, -1).mean() + np.sum(np.exp(code.mean(0))) + apart.mean()
    np.testing.assert_allclose(on_one_device()[0], expected, rtol=1e-6)


def test_a_device_without_a_valid_example_adds_nothing():
    valid = jnp.zeros(4, bool)
    context = context_of(jnp.ones((4, 3)), valid)
    np.testing.assert_array_equal(context.share(jnp.ones((4, 3))), np.zeros(3))


def test_without_valid_everything_counts():
    context = context_of(jnp.asarray(VALUES), None)
    np.testing.assert_allclose(context.mean(VALUES), VALUES.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(context.all_valid(), np.ones(BATCH, bool))
    np.testing.assert_array_equal(context.gather(VALUES), VALUES)


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.uint8, jnp.bfloat16, np.float16])
@pytest.mark.parametrize("masked", [True, False])
def test_means_of_any_dtype_are_taken_in_float32(dtype, masked):
    x = (VALUES > 0).astype(dtype)
    mean = context_of(x, jnp.asarray(VALID) if masked else None).mean(x)
    assert mean.dtype == jnp.float32
    expected = x[VALID] if masked else x
    np.testing.assert_allclose(mean, expected.astype(np.float64).mean(0), rtol=1e-6)


def test_a_mean_over_many_examples_counts_each_of_them():
    """In bfloat16 the count itself would stop at 256."""
    x = jnp.ones((1000, 1), jnp.bfloat16)
    np.testing.assert_array_equal(context_of(x, jnp.ones(1000, bool)).mean(x), [1.0])


def test_a_node_writes_itself_and_its_nested_nodes():
    node = Node("outer", (("size", 3), ("inner", Node("part", (("x", None),)))))
    assert node.to_dict() == {"name": "outer", "size": 3, "inner": {"name": "part", "x": None}}
