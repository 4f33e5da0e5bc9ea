"""A run's codes as integers: from examples, back to examples, and how many are in use."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.data.source import Records, pieces, readable
from ae_jax.errors import DataError, PartError, ShapeError
from ae_jax.evaluation import CodeUse, code_use
from ae_jax.runs.functions import Functions
from ae_jax.types import Array, Bottleneck, Codes, Variables


def codes_of(run: Any) -> Codes:
    """What the integers of a run's latent are.

    Raises:
      PartError: its bottleneck does not quantise.
    """
    codes = run.model.bottleneck.codes
    if codes is None:
        node = run.model.bottleneck.node
        named = "" if node is None else f" '{node.name}'"
        raise PartError(
            f"this run has no codes that are integers: its bottleneck{named} does not quantise "
            "(use ae.recipes.vq_vae or fsq_vae, say)"
        )
    return codes


def numbers(functions: Functions, variables: Variables, records: Records) -> Array:
    """The integers of each example's code, int32 `[n, *codes.shape]`."""
    posterior: Any = functions.posterior(variables, records)
    return posterior.numbers


def decoded(
    functions: Functions, variables: Variables, numbers: Array, extras: dict[str, Array]
) -> Array:
    """The mean of p(x | z) at the codes that integers stand for, `[n, *event]`."""
    z = latents(functions.model.bottleneck, variables, numbers)
    return functions.decode(variables, z, extras)


def latents(bottleneck: Bottleneck, variables: Variables, numbers: Array) -> Array:
    """The z that integers stand for, `[n, *latent]`."""
    codes: Any = bottleneck.codes
    own = [jax.tree.map(jnp.asarray, tree.get("bottleneck", {})) for tree in variables]
    return jax.vmap(lambda row: codes.latent(*own, row))(numbers)


def checked(run: Any, numbers: Any) -> np.ndarray:
    """Integers `[n, *codes.shape]` in range, int32; nested ones may have fewer on the last axis.

    Raises:
      DataError: they are no integers, or out of range.
      ShapeError: another shape than the codes'.
    """
    codes, numbers = codes_of(run), np.asarray(numbers)
    if not np.issubdtype(numbers.dtype, np.integer):
        raise DataError(f"codes must be integers, got {numbers.dtype}")
    shape = numbers.shape[1:]
    fewer = codes.nested and shape[:-1] == codes.shape[:-1] and 0 < shape[-1] < codes.shape[-1]
    if not numbers.ndim or (shape != codes.shape and not fewer):
        wanted = ", ".join(map(str, ("n", *codes.shape)))
        also = " (or fewer on the last axis)" * codes.nested
        raise ShapeError(f"codes must be [{wanted}]{also}, got {numbers.shape}")
    if numbers.size and (numbers.min() < 0 or numbers.max() >= codes.size):
        raise DataError(
            f"codes must lie in 0 to {codes.size - 1}, got {numbers.min()} to {numbers.max()}"
        )
    return numbers.astype(np.int32)


def use(run: Any, split: Any) -> CodeUse:
    """How often each code stands for a position of a split's examples."""
    codes = codes_of(run)
    beside = codes.shape[len(run.model.bottleneck.latent_shape) - 1 :]  # levels, groups
    found = [
        run.codes(records.x, observed=records.observed, extras=records.extras)
        for records in map(readable, pieces(split))
        if len(records.x)
    ]
    return code_use(np.concatenate(found), codes.size, math.prod(beside))
