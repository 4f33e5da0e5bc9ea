"""The resident engine: what the step gathers, and that an epoch shows each example once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data import order, preprocessing
from ae_jax.data.batches import gather, shuffled_index, to_batch

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 3, 2)).astype(np.uint8)
SEED = np.uint32(31327077)


@functools.cache
def on_device(size, batch):
    places = jnp.arange(batch, dtype=jnp.uint32)
    index = lambda epoch, offset: shuffled_index(SEED, epoch, offset, places, size)
    return jax.jit(index)


def batches(size, batch, count):
    """Index batches, as the training program draws them from `examples_seen`."""
    drawn = []
    for step in range(count):
        epoch, offset = divmod(step * batch, size)
        drawn.append(np.asarray(on_device(size, batch)(np.uint32(epoch), np.uint32(offset))))
    return np.concatenate(drawn)


@pytest.mark.parametrize(("size", "batch"), [(61, 16), (100, 7), (16, 16), (5, 3), (10, 25)])
def test_every_index_comes_exactly_once_an_epoch(size, batch):
    epochs = 4
    drawn = batches(size, batch, -(-epochs * size // batch))[: epochs * size]
    for epoch in drawn.reshape(epochs, size):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(size))
    assert len(np.unique(drawn.reshape(epochs, size), axis=0)) == epochs


@pytest.mark.parametrize(("size", "batch"), [(61, 16), (10, 25)])
def test_batches_cross_epochs_and_agree_with_the_order_on_the_host(size, batch):
    count = 10
    position = np.arange(count * batch)
    expected = np.concatenate(
        [
            order.order(SEED, epoch, np.arange(size), size, np)
            for epoch in range(1 + max(position) // size)
        ]
    )
    np.testing.assert_array_equal(batches(size, batch, count), expected[position])


def test_one_dispatch_of_many_steps_draws_what_single_steps_draw():
    size, batch = 61, 16
    offsets = 45 + batch * np.arange(8, dtype=np.uint32)  # counted on from the first epoch
    onward = [on_device(size, batch)(np.uint32(3), offset) for offset in offsets]
    position = 3 * size + 45 + np.arange(8 * batch)
    expected = [order.order(SEED, p // size, p % size, size, np) for p in position]
    np.testing.assert_array_equal(np.concatenate(onward), np.array(expected).ravel())


def test_gather_takes_preprocesses_and_keeps_the_extras():
    data = ae.data.Arrays(IMAGES, {"label": np.arange(10) * 3}).records
    assert data.x.dtype == np.uint8
    index = jnp.array([7, 0, 7], jnp.int32)
    valid = jnp.array([True, True, False])
    preprocess = preprocessing.scale(0, 255)
    one = lambda data: to_batch(gather(data, index), index, preprocess, valid=valid)
    batch = jax.jit(one)(data)
    assert batch.x.dtype == jnp.float32
    np.testing.assert_allclose(batch.x, IMAGES[[7, 0, 7]] / 255.0, rtol=1e-6)
    np.testing.assert_array_equal(batch.extras["label"], [21, 0, 21])
    np.testing.assert_array_equal(batch.index, [7, 0, 7])
    assert batch.index.dtype == jnp.uint32
    np.testing.assert_array_equal(batch.valid, valid)
    assert to_batch(gather(data, index), index, preprocess).valid is None
