"""The resident engine: data in their own dtype on the device, shuffled and gathered in the step."""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.data import order
from ae_jax.data.preprocessing import Preprocessing, on_device
from ae_jax.data.source import Records
from ae_jax.keys import Draws
from ae_jax.types import Array, Batch


def gather(data: Records, index: Array) -> Records:
    """The examples at these places, integers `[b]`, of records on the device."""
    return jax.tree.map(lambda field: jnp.take(field, index, axis=0, mode="clip"), data)


def to_batch(
    records: Records,
    index: Array | np.ndarray,
    preprocessing: Preprocessing,
    draws: Draws | None = None,
    train: bool = False,
    valid: Array | None = None,
) -> Batch:
    """The Batch of records, preprocessed; missing entries are 0 in the model's units too.

    Args:
      records: on the device, `[b, …]`, taken in by `ae_jax.data.intake`.
      index: integers `[b]`, their places in the data set.
      preprocessing: from the data's units to the model's.
      draws: draws for what is random in it; None: nothing is.
      train: whether augmentations apply.
      valid: bool `[b]`, in addition to the records' own; None: all.

    Returns:
      A Batch.
    """
    preprocessing = on_device(preprocessing)
    x, observed = preprocessing.apply(records.x, draws, train), records.observed
    if observed is not None:
        observed = preprocessing.observed(observed, draws, train)
        x = jnp.where(observed, x, 0)
    if valid is None or records.valid is None:
        valid = records.valid if valid is None else valid
    else:
        valid = valid & records.valid
    return Batch(x, observed, valid, jnp.asarray(index, jnp.uint32), dict(records.extras))


def shuffled_index(seed: Array, epoch: Array, offset: Array, places: Array, size: int) -> Array:
    """Which examples stand at `offset + places` positions after the start of an epoch.

    Batches run on across the ends of epochs, each of which has its own order.

    Args:
      seed: uint32, of `order.order_seed`.
      epoch: uint32.
      offset: uint32, position within that epoch of the first place.
      places: uint32 `[b]`.
      size: size of the data set; `offset + places` must stay below 2**32.

    Returns:
      uint32 `[b]`.
    """
    position = offset + places
    return order.order(seed, epoch + position // size, position % size, size)
