"""Rows of a batch that count, for the batch-coupled losses."""

import chex
import jax
import jax.numpy as jnp

from ae_jax.errors import ShapeError


def counted_rows(valid: chex.Array | None, size: int, name: str = "valid") -> jax.Array:
    """The mask of the rows that count, as `bool[size]`.

    Args:
      valid: `bool[size]`, False for padding, or None if all rows count.
      size: number of rows.
      name: what to call the mask in the error.

    Raises:
      ShapeError: if `valid` has another shape.
    """
    if valid is None:
        return jnp.ones(size, dtype=bool)
    valid = jnp.asarray(valid, dtype=bool)
    if valid.shape != (size,):
        raise ShapeError(f"{name} must have shape {(size,)}, one entry a row, got {valid.shape}")
    return valid


def blank_padding(array: chex.Array, counted: chex.Array) -> jax.Array:
    """Sets the rows that do not count to zero.

    Multiplying a sum by its mask is not enough: padding may hold NaN, and NaN times zero is NaN, in
    the gradient too.
    """
    array = jnp.asarray(array)
    shape = (*counted.shape, *(1,) * (array.ndim - counted.ndim))
    return jnp.where(counted.reshape(shape), array, jnp.zeros((), array.dtype))
