"""The mesh of the `fsdp` strategy, and which part of a leaf each of its devices holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.errors import ConfigError, UnknownNameError, nearest
from ae_jax.types import Shape

MESH_AXES = ("data", "fsdp")
WIDEST = 16  # devices that parameters are split over by default
TILE = (8, 128)  # of the last two dimensions, as a TPU lays arrays out


def split_dimension(shape: Shape, size: int, tile: tuple[int, int] = TILE) -> int | None:
    """Which dimension of a leaf is split into `size` shards: the largest that can be.

    It can be where `size` divides it and leaves at least a tile: in the last dimension `tile[1]`,
    in the one before `tile[0]`.

    Args:
      shape: shape of the leaf.
      size: how many shards.
      tile: the smallest shard.

    Returns:
      A dimension, the last of equally large ones; None: the leaf stays whole.
    """
    least = ([1] * len(shape) + list(tile))[-len(shape) :] if shape else []
    fits = lambda d: shape[d] % size == 0 and shape[d] // size >= least[d]
    return max(filter(fits, range(len(shape))), key=lambda d: (shape[d], d), default=None)


def mesh_shape(devices: int, shape: Mapping[str, int | None]) -> dict[str, int]:
    """How many devices each axis of the mesh of `fsdp` has.

    Args:
      devices: devices to arrange.
      shape: the sizes that are given.

    Returns:
      "data" and "fsdp"; see `fsdp`.

    Raises:
      UnknownNameError: the mesh has no such axis.
      ConfigError: their product is not the number of devices; the nearest that is.
    """
    for axis in shape:
        if axis not in MESH_AXES:
            raise UnknownNameError(f"the mesh has no axis '{axis}'{nearest(axis, MESH_AXES)}")
    divisors = [n for n in range(1, devices + 1) if devices % n == 0]
    data, split = (shape.get(axis) for axis in MESH_AXES)
    if split is None:
        split = max(n for n in divisors if n <= WIDEST) if data is None else devices // data or 1
    data = devices // split or 1 if data is None else data
    if data * split != devices:
        near = min(divisors, key=lambda n: (abs(n - split), n))
        raise ConfigError(
            f"parallel.mesh is data={data} x fsdp={split}, {data * split} devices, but there are "
            f"{devices}; nearest: data={devices // near}, fsdp={near}"
        )
    return {"data": data, "fsdp": split}


def arranged(devices: Sequence[Any], shape: Mapping[str, int]) -> np.ndarray:
    """The devices as a mesh that follows the links between them, where it can."""
    from jax.experimental import mesh_utils

    sizes = tuple(shape.values())
    try:
        return mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    except (AssertionError, NotImplementedError, ValueError):  # of a part of a slice
        return np.reshape(np.asarray(devices), sizes)
