"""The resident engine: data in their own dtype on the device, shuffled and gathered in the step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import keys
from ae_jax.data.dataset import Split
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.types import Array, Batch


class Resident(NamedTuple):
    """A split as a pytree for the device, the same on each.

    Attributes:
      x: `[n, *event]` in the data's dtype.
      extras: each `[n, …]`.
    """

    x: Any
    extras: dict[str, Any]

    @property
    def size(self) -> int:
        """How many examples there are."""
        return self.x.shape[0]


def resident(split: Split) -> Resident:
    """The arrays to place on the device."""
    return Resident(split.x, dict(split.extras))


def gather(
    data: Resident, index: Array, preprocessing: Preprocessing, valid: Array | None = None
) -> Batch:
    """The batch of these examples, preprocessed.

    Args:
      data: on the device.
      index: integers `[b]`, below `data.size`.
      preprocessing: from the data's units to the model's.
      valid: bool `[b]`, or None for all.

    Returns:
      A Batch.
    """
    take = lambda field: jnp.take(field, index, axis=0, mode="clip")
    return Batch(
        x=preprocessing.apply(take(data.x)),
        valid=valid,
        index=index.astype(jnp.uint32),
        extras=jax.tree.map(take, data.extras),
    )


def shuffled_index(seed: Array, epoch: Array, offset: Array, places: Array, size: int) -> Array:
    """Which examples stand at `offset + places` positions after the start of an epoch.

    Batches run on across the ends of epochs, each of which has its own order.

    Args:
      seed: uint32, of `keys.order_seed`.
      epoch: uint32.
      offset: uint32, position within that epoch of the first place.
      places: uint32 `[b]`.
      size: of the data set; `offset + places` must stay below 2**32.

    Returns:
      uint32 `[b]`.
    """
    position = offset + places
    return keys.order(seed, epoch + position // size, position % size, size)
