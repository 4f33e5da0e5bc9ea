"""Named random streams, per-example keys and the stateless data order.

`root → stream → step → place in the global batch → sample`, each by `fold_in`. The noise of an
example therefore depends on the seed, the step and its place in the global batch, never on the
device that computes it. Stream numbers are part of the checkpoint format: they are never reused.
"""

from types import ModuleType
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import fused_random
from ae_jax.errors import require_seed

STREAMS = {
    "init": 0,
    "data": 1,
    "corruption": 2,
    "latent": 3,
    "dropout": 4,
    "state": 5,
    "evaluation": 6,
    "sample": 7,
    "preprocessing": 8,
}
ROUNDS = 8


class ExampleKeys(NamedTuple):
    """What one example may draw from: a key a stream, `[b]` when batched."""

    corruption: chex.PRNGKey
    latent: chex.PRNGKey
    dropout: chex.PRNGKey


class Draws(NamedTuple):
    """What preprocessing may draw from: two keys an example, `[b]`.

    Attributes:
      time: another each time the example is seen.
      example: the same for an example of the data set at all times.
    """

    time: chex.PRNGKey
    example: chex.PRNGKey


def root(seed: int) -> chex.PRNGKey:
    """The typed key that everything random of a run is drawn from.

    Args:
      seed: a whole number from 0 to 2³² - 1, Python's or NumPy's.

    Raises:
      ConfigError: another seed.

    Example:
      >>> jax.random.key_data(root(7)).tolist()
      [0, 7]
    """
    require_seed(seed=seed)
    return jax.random.key(int(seed))


def stream(root: chex.PRNGKey, name: str) -> chex.PRNGKey:
    """The key of one named stream.

    Args:
      root: the run's typed key, see `root`.
      name: one of `STREAMS`.

    Returns:
      A typed key.
    """
    return fused_random.fold_in(root, STREAMS[name])


def for_examples(root: chex.PRNGKey, step: chex.Numeric | None, places: chex.Array) -> ExampleKeys:
    """Per-example keys for one training step, or for evaluation.

    Args:
      root: the run's typed key.
      step: the optimizer step; None in evaluation, where the place alone decides.
      places: integers `[b]`, each example's place in the global batch (in evaluation: in the data
        set).

    Returns:
      Keys, each `[b]`.
    """
    if step is None:
        root = stream(root, "evaluation")

    def one_stream(name: str) -> chex.PRNGKey:
        key = stream(root, name)
        if step is not None:
            key = fused_random.fold_in(key, step)
        return jax.vmap(fused_random.fold_in, in_axes=(None, 0))(key, places)

    return ExampleKeys(*(one_stream(name) for name in ExampleKeys._fields))


def for_preprocessing(
    root: chex.PRNGKey, step: chex.Numeric | None, places: chex.Array, index: chex.Array
) -> Draws:
    """Per-example keys for random preprocessing.

    Args:
      root: the run's typed key.
      step: the optimizer step; None in evaluation, where the place alone decides.
      places: integers `[b]`, each example's place in the global batch (in evaluation: in the data
        set).
      index: integers `[b]`, each example's place in the data set.

    Returns:
      Draws, each `[b]`.
    """
    fold = jax.vmap(fused_random.fold_in, in_axes=(None, 0))
    split = stream(root, "evaluation") if step is None else root
    own = stream(split, "preprocessing")
    at = own if step is None else fused_random.fold_in(own, step)
    for_good = fused_random.fold_in(own, 2**32 - 1)  # no step is that late
    return Draws(fold(at, places), fold(for_good, index))


def any_draws(count: int) -> Draws:
    """Draws of no run in particular, to look at what preprocessing gives."""
    number = jnp.arange(count, dtype=jnp.uint32)
    return for_preprocessing(jax.random.key(0), None, number, number)


def order_seed(root: chex.PRNGKey) -> np.ndarray:
    """The number, uint32, that the data order of a run is drawn from."""
    return np.asarray(_order_seed(root))


@jax.jit
def _order_seed(root: chex.PRNGKey) -> jax.Array:
    return jax.random.bits(stream(root, "data"), dtype=jnp.uint32)


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
