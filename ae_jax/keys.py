"""Named random streams and per-example keys.

`root → stream → step → place in the global batch → sample`, each by `fold_in`. The noise of an
example therefore depends on the seed, the step and its place in the global batch, never on the
device that computes it. Stream numbers are part of the checkpoint format: they are never reused.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_seed
from ae_jax.ops import random as fused_random

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
    "selection": 9,
}


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
    base = stream(split, "preprocessing")
    at = base if step is None else fused_random.fold_in(base, step)
    for_good = fused_random.fold_in(base, 2**32 - 1)  # no step is that late
    return Draws(fold(at, places), fold(for_good, index))


def any_draws(count: int) -> Draws:
    """Draws of no run in particular, to look at what preprocessing gives."""
    number = jnp.arange(count, dtype=jnp.uint32)
    return for_preprocessing(jax.random.key(0), None, number, number)
