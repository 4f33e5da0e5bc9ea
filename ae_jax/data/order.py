"""The order of a run's data: a pseudo-random permutation for each seed and epoch, and hashes."""

from types import ModuleType
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import keys

ROUNDS = 8


def order_seed(root: chex.PRNGKey) -> np.ndarray:
    """The number, uint32, that the data order of a run is drawn from."""
    return np.asarray(_order_seed(root))


@jax.jit
def _order_seed(root: chex.PRNGKey) -> jax.Array:
    return jax.random.bits(keys.stream(root, "data"), dtype=jnp.uint32)


def order(seed: Any, epoch: Any, position: Any, size: int, xp: ModuleType | Any = jnp) -> Any:
    """The index of the example that stands at a position of an epoch's shuffled order.

    A Feistel network of eight rounds (with four, pairs of positions are visibly dependent in small
    data sets) over the smallest near-square grid that holds `size` cells, walking along its cycle
    past the few cells beyond the end (Black & Rogaway 2002, "Ciphers with arbitrary finite
    domains"): a pseudo-random permutation of `range(size)` for each seed and epoch, with no state
    and no table.

    Args:
      seed: uint32, see `order_seed`.
      epoch: uint32, scalar or of position's shape.
      position: uint32 of any shape, below `size`.
      size: the number of examples, at most 2**31.
      xp: `jax.numpy`, or `numpy` for the same on the host.

    Returns:
      uint32 of position's shape: for positions `0 … size-1` each index exactly once.
    """
    rows = int(np.ceil(np.sqrt(size)))
    columns = -(-size // rows)
    as_uint = lambda value: xp.atleast_1d(xp.asarray(value, dtype=np.uint32))
    base = _mix(as_uint(seed) ^ _mix(as_uint(epoch)))
    round_keys = [_mix(base + as_uint(0x9E3779B9 * (i + 1) & 0xFFFFFFFF)) for i in range(ROUNDS)]

    def permute(value):
        left, right = value // np.uint32(columns), value % np.uint32(columns)
        for i, key in enumerate(round_keys):
            if i % 2 == 0:
                left = (left + _mix(right ^ key) % np.uint32(rows)) % np.uint32(rows)
            else:
                right = (right + _mix(left ^ key) % np.uint32(columns)) % np.uint32(columns)
        return left * np.uint32(columns) + right

    outside = lambda value: value >= np.uint32(size)
    walk = lambda value: xp.where(outside(value), permute(value), value)
    value = permute(as_uint(position))
    if xp is np:
        while outside(value).any():
            value = walk(value)
    else:
        value = jax.lax.while_loop(lambda v: jnp.any(outside(v)), walk, value)
    return value.reshape(np.shape(position))


def hash_index(index: np.ndarray) -> np.ndarray:
    """A fixed pseudo-random uint32 for each index, the same for all time: splits hang on it."""
    return _mix(_mix(index + np.uint32(0x51ED270B)))


def _mix(value: Any) -> Any:
    """The finaliser of MurmurHash3 (Appleby 2011) on uint32, NumPy or jnp."""
    value = (value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    value = (value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return value ^ (value >> np.uint32(16))
