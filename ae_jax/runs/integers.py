"""A run's codes as integers: from examples, back to examples, and how many are in use.

`codes`, `decode_codes` and `code_use` are methods of `Run`: a run is their first argument.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import evaluation
from ae_jax.data.source import Records, pieces, readable
from ae_jax.errors import DataError, PartError, ShapeError
from ae_jax.precision import compiled_in_float32
from ae_jax.runs.functions import Functions
from ae_jax.runs.inputs import fields
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
    arrays = [jax.tree.map(jnp.asarray, tree.get("bottleneck", {})) for tree in variables]
    return jax.vmap(lambda row: codes.latent(*arrays, row))(numbers)


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


@compiled_in_float32()
def codes(
    run: Any, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
) -> np.ndarray:
    """The integers of each example's quantised code; `decode_codes` is the way back.

    Args:
      run: an `ae.Run`.
      x: `[n, *event]`, in the data's units, as for `encode`.
      observed: see `encode`.
      extras: see `encode`.

    Returns:
      int32 `[n, *model.bottleneck.codes.shape]`: one a position, or of residual and grouped
      quantisers one a position and level or group, from 0 to `codes.size - 1`.

    Raises:
      PartError: the bottleneck does not quantise.

    Example:
      >>> import ae_jax as ae
      >>> recipe = ae.recipes.fsq_vae((4, 3), levels=4)
      >>> run = ae.fit(recipe, "digits", steps=2, progress=False)
      >>> numbers = run.codes(run.dataset().test)
      >>> numbers.shape, run.decode_codes(numbers).shape
      ((364, 4), (364, 8, 8, 1))
      >>> run.code_use().size
      64
    """
    codes_of(run)
    records = run.records(x, observed=observed, extras=extras)
    numbered = functools.partial(numbers, run.functions)
    return run.over_examples("codes", numbered)(run.variables, records)


@compiled_in_float32()
def decode_codes(run: Any, numbers: Any, *, extras: Mapping[str, Any] | None = None) -> np.ndarray:
    """The mean of p(x | z) for the codes that integers stand for, in the data's units.

    `decode_codes(codes(x))` is `reconstruct(x)`.

    Args:
      run: an `ae.Run`.
      numbers: integers `[n, *model.bottleneck.codes.shape]`, as `codes` gives them; of a
        residual quantiser the first levels alone will do.
      extras: conditions, each `[n, …]`, for a model that takes them.

    Returns:
      As `decode`.

    Raises:
      PartError: the bottleneck does not quantise.
      ShapeError: integers of another shape.
      DataError: no integers, or out of range.
    """
    numbers = checked(run, numbers)
    decode = functools.partial(decoded, run.functions)
    program = run.over_examples(("decode codes", numbers.shape[1:]), decode, in_units=True)
    return program(run.variables, numbers, fields(run, extras, len(numbers)))


def code_use(run: Any, data: Any = None) -> evaluation.CodeUse:
    """How many codes are in use and their perplexity; see `ae.evaluation.code_use`.

    Args:
      run: an `ae.Run`.
      data: `[n, *event]`, a source such as `ae.data.load(…).test`, or None: the test split of
        the run's own data source. Every example counts.

    Returns:
      A CodeUse, the same integers on any number of devices.

    Raises:
      PartError: the bottleneck does not quantise.
      ConfigError: the data came from memory.
    """
    codes = codes_of(run)
    beside = codes.shape[len(run.model.bottleneck.latent_shape) - 1 :]  # levels, groups
    numbered = [
        run.codes(records.x, observed=records.observed, extras=records.extras)
        for records in map(readable, pieces(run.split(data, parts=("encoder",))))
        if len(records.x)
    ]
    return evaluation.code_use(np.concatenate(numbered), codes.size, math.prod(beside))
