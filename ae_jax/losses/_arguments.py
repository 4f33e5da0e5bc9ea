"""Checks of array arguments at trace time; `ae_jax.errors` has those of numbers."""

import numbers

import chex
import jax.numpy as jnp

from ae_jax.errors import ConfigError, ShapeError


def require_same_shape(**arrays: chex.Numeric) -> None:
    """Raises ShapeError naming every shape unless all arrays have one shape."""
    shapes = {name: jnp.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeError(f"{' and '.join(shapes)} must have the same shape, got {listing}")


def require_rank(rank: int, **arrays: chex.Numeric) -> None:
    """Raises ShapeError naming the array and its shape unless all have the given rank."""
    for name, array in arrays.items():
        if jnp.ndim(array) != rank:
            raise ShapeError(f"{name} must have rank {rank}, got shape {jnp.shape(array)}")


def require_mask(observed: chex.Array | None, x: chex.Array) -> None:
    """Raises unless `observed` is None or a boolean array of the shape of x."""
    if observed is None:
        return
    if jnp.result_type(observed) != jnp.bool_:
        raise ConfigError(f"observed must be a bool mask, got dtype {jnp.result_type(observed)}")
    require_same_shape(x=x, observed=observed)


def require_not_negative(**values: float) -> None:
    """Raises ConfigError for the first value that is not a number of at least zero, by its name."""
    for name, value in values.items():
        if not _is_number(value) or not value >= 0:
            raise ConfigError(f"{name} must not be negative, got {value!r}")


def require_unit_interval(**values: float) -> None:
    """Raises ConfigError for the first value outside [0, 1], by its name."""
    for name, value in values.items():
        if not _is_number(value) or not 0 <= value <= 1:
            raise ConfigError(f"{name} must lie in [0, 1], got {value!r}")


def require_within_unit_interval(**values: float) -> None:
    """Raises ConfigError for the first value outside (0, 1), its ends included, by its name."""
    for name, value in values.items():
        if not _is_number(value) or not 0 < value < 1:
            raise ConfigError(f"{name} must lie in (0, 1), got {value!r}")


def _is_number(value: object) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real or getattr(value, "shape", None) == ()
