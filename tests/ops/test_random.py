"""The draws written out are `jax.random`'s own, bit for bit, and nothing of them is left a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.ops import random as fused_random

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (4, 0)]
KEY = jax.random.key(7)
DRAWS = {
    "normal": lambda module, key, shape: module.normal(key, shape),
    "normal in half": lambda module, key, shape: module.normal(key, shape, jnp.bfloat16),
    "uniform": lambda module, key, shape: module.uniform(key, shape, jnp.float32, -2.0, 3.0),
    "bernoulli": lambda module, key, shape: module.bernoulli(key, 0.3, shape),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_draws_are_those_of_jax(draw, shape):
    np.testing.assert_array_equal(draw(fused_random, KEY, shape), draw(jax.random, KEY, shape))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_draws_of_many_keys_are_those_of_jax(draw):
    keys = jax.random.split(KEY, (2, 3))
    drawn = [
        jax.jit(jax.vmap(jax.vmap(lambda key, module=module: draw(module, key, (5, 4)))))(keys)
        for module in (fused_random, jax.random)
    ]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("data", [0, 1, 77, 2**31, 2**32 - 1])
def test_folded_keys_are_those_of_jax(data):
    ours, theirs = fused_random.fold_in(KEY, data), jax.random.fold_in(KEY, data)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(jax.random.key_data(ours), jax.random.key_data(theirs))


@pytest.mark.parametrize("key", [jax.random.PRNGKey(3), jax.random.key(3, impl="rbg")], ids=str)
def test_any_key_that_jax_takes(key):
    np.testing.assert_array_equal(fused_random.normal(key, (9,)), jax.random.normal(key, (9,)))
    ours, theirs = fused_random.fold_in(key, 5), jax.random.fold_in(key, 5)
    np.testing.assert_array_equal(jax.random.key_data(ours), jax.random.key_data(theirs))


def test_draws_follow_the_setting_of_the_user():
    with jax.threefry_partitionable(False):
        old = jax.random.uniform(KEY, (6,))
        np.testing.assert_array_equal(fused_random.uniform(KEY, (6,)), old)
    assert np.any(old != fused_random.uniform(KEY, (6,)))


def test_a_fused_key_splits_as_jax_does():
    fused = jax.random.wrap_key_data(jax.random.key_data(KEY), impl=fused_random.FUSED)
    ours = jax.random.key_data(jax.random.split(fused, (2, 3)))
    np.testing.assert_array_equal(ours, jax.random.key_data(jax.random.split(KEY, (2, 3))))
    seeded = jax.random.key_data(jax.random.key(11, impl=fused_random.FUSED))
    np.testing.assert_array_equal(seeded, jax.random.key_data(jax.random.key(11)))
    words = [jax.random.bits(key, (5,), jnp.uint8) for key in (fused, KEY)]
    np.testing.assert_array_equal(*words)


def test_no_loop_is_left():
    def loops(module):
        text = jax.jit(lambda key: module.normal(key, (8, 16))).lower(KEY).as_text()
        return text.count("stablehlo.while")

    assert loops(fused_random) == 0
