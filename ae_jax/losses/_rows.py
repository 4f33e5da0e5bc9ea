"""Rows of a batch that count and axes that must agree, for the batch-coupled losses."""

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


def require_two(what: str, rows: int) -> None:
    """Raises ShapeError for a statistic over rows that one row does not have.

    Of one row a covariance is 0 and a density among others a constant, both without a gradient.
    """
    if rows < 2:
        raise ShapeError(
            f"{what} needs a batch of 2 examples or more, got {rows}: take larger batches, or less "
            "accumulation"
        )


def require_shapes(**arrays: tuple[chex.Array, str]) -> None:
    """Checks the shapes of arrays against each other.

    Args:
      **arrays: by name, an array and its axes, such as `"n d"`: equal letters stand for equal
        sizes, digits for themselves.

    Raises:
      ShapeError: naming the arrays, the shapes expected and the shapes they have.
    """
    sizes: dict[str, int] = {}
    for array, axes in arrays.values():
        shape, letters = jnp.shape(array), axes.split()
        pairs = zip(letters, shape, strict=False)
        if len(shape) != len(letters) or any(
            size != (int(letter) if letter.isdigit() else sizes.setdefault(letter, size))
            for letter, size in pairs
        ):
            break
    else:
        return
    expected = " and ".join(f"[{', '.join(axes.split())}]" for _, axes in arrays.values())
    found = ", ".join(f"{name} {jnp.shape(array)}" for name, (array, _) in arrays.items())
    raise ShapeError(f"{' and '.join(arrays)} must have shape {expected}, got {found}")
