"""The one dtype rule of the raw mathematics: never less precise than float32."""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.core import Tracer


def at_least_float32(*arrays: chex.Numeric) -> tuple[jax.Array, ...]:
    """Casts all arrays to their common type, promoted with float32.

    bfloat16 and float16 become float32, integers and booleans become float32, float64 stays. Python
    scalars are weakly typed and do not raise the type of the arrays beside them.

    Args:
      *arrays: arrays or Python scalars.

    Returns:
      The arrays, in the order given, all of one dtype.
    """
    with jax.numpy_dtype_promotion("standard"):  # promoting is what this is for
        dtype = jnp.promote_types(jnp.result_type(*arrays), jnp.float32)
    return tuple(jnp.asarray(array, dtype) for array in arrays)


def log_of(number: Any) -> Any:
    """The logarithm, in float64 of a Python number; of one that a population traces, in its own."""
    return jnp.log(number) if isinstance(number, Tracer) else math.log(number)
