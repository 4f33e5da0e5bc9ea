"""Any number of examples through a function of a batch, spread over the devices."""

import functools
import math
from collections.abc import Callable

import jax
import numpy as np

from ae_jax.training.parallel.strategy import Program, Strategy, compiler_options
from ae_jax.types import Tree


def over_examples(
    fn: Callable[..., Tree], strategy: Strategy, batch_size: int
) -> Callable[..., Tree]:
    """A batched function made to take any number of examples, spread over devices.

    Args:
      fn: `(shared, *per_example) -> tree of [b, …]`.
      strategy: over whose devices each batch is split; `shared` lies as state does.
      batch_size: examples a call, rounded up to a multiple of the devices; the last batch is padded
        with copies of its last example, and trimmed.

    Returns:
      `(shared, *per_example) -> tree of NumPy [n, …]`; compiled once for every n.
    """
    devices = len(strategy.devices)
    size = math.ceil(batch_size / devices) * devices
    whole = lambda shared, *rows: fn(strategy.across.whole(shared), *rows)
    compiled = Program(lambda count: jax.jit(whole), options=compiler_options(strategy.devices))

    def call(shared, *per_example):
        shared = strategy.place_state(shared)
        total = len(jax.tree.leaves(per_example)[0])
        pieces = []
        for start in range(0, total, size):
            index = np.minimum(np.arange(start, start + size), total - 1)
            take = functools.partial(np.take, indices=index, axis=0)
            part = jax.device_put(jax.tree.map(take, per_example), strategy.by_row)
            pieces.append(jax.tree.map(np.asarray, compiled(shared, *part)))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *pieces)

    return call
