"""Checks of arguments, which all say the argument's name, what was expected and what came.

Those of numbers raise ConfigError, those of arrays ShapeError, at trace time or before. A traced
number that need not be whole passes: whoever traces it, as a population does, has checked the
numbers that it stands for.
"""

import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import chex
import jax.numpy as jnp
from jax.core import Tracer

from ae_jax.errors import ConfigError, ShapeError

# ---- numbers -------------------------------------------------------------------------------------


def require_positive(**values: float) -> None:
    """Raises ConfigError for the first value that is not a number above zero, by its name."""
    for name, value in _known(values):
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not value > 0:
            raise ConfigError(f"{name} must be a positive number, got {value!r}")


def require_not_negative(**values: float) -> None:
    """Raises ConfigError for the first value that is not a number of at least zero, by its name."""
    for name, value in _known(values):
        if not _is_number(value) or not value >= 0:
            raise ConfigError(f"{name} must not be negative, got {value!r}")


def require_positive_ints(**values: int) -> None:
    """Raises ConfigError for the first value that is not a whole number above zero, by its name."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
            raise ConfigError(f"{name} must be a positive whole number, got {value!r}")


def require_whole(**values: int) -> None:
    """Raises ConfigError for the first value that is not a whole number from 0 on, by its name."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
            raise ConfigError(f"{name} must be a whole number from 0 on, got {value!r}")


def require_widths(**values: Any) -> None:
    """Raises ConfigError for the first value that is not a row of positive whole numbers."""
    for name, widths in values.items():
        if not isinstance(widths, list | tuple) or not widths:
            raise ConfigError(f"{name} must be the widths of the layers, got {widths!r}")
        for width in widths:
            require_positive_ints(**{name: width})


def require_seed(**values: int) -> None:
    """Raises ConfigError for the first value that is no whole number in [0, 2³²), by its name.

    JAX folds larger seeds to 32 bits without a word, so that 2³² would be 0 again.
    """
    for name, value in values.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or not 0 <= value < 2**32:
            raise ConfigError(f"{name} must be a whole number from 0 to 2**32 - 1, got {value!r}")


def require_unit_interval(**values: float) -> None:
    """Raises ConfigError for the first value outside [0, 1], such as a probability."""
    for name, value in _known(values):
        if not _is_number(value) or not 0 <= value <= 1:
            raise ConfigError(f"{name} must lie in [0, 1], got {value!r}")


def require_below_one(**values: float) -> None:
    """Raises ConfigError for the first value outside [0, 1), such as a rate of dropout."""
    for name, value in _known(values):
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
            raise ConfigError(f"{name} must lie in [0, 1), got {value!r}")


def require_within_unit_interval(**values: float) -> None:
    """Raises ConfigError for the first value outside (0, 1), its ends included, by its name."""
    for name, value in _known(values):
        if not _is_number(value) or not 0 < value < 1:
            raise ConfigError(f"{name} must lie in (0, 1), got {value!r}")


def require_order(low: float, high: float) -> None:
    """Raises ConfigError unless low is at most high."""
    traced = isinstance(low, Tracer) or isinstance(high, Tracer)
    if not traced and not low <= high:
        raise ConfigError(f"low must not exceed high, got {low!r} and {high!r}")


def require_part_hidden(what: str, rate: float, patches: int) -> int:
    """How many of n patches a rate hides, round(rate · n): some of them, and not all.

    Args:
      what: name of the rate.
      rate: part to hide.
      patches: n.

    Raises:
      ConfigError: none would be hidden, or all; the nearest rates are named.
    """
    hidden = round(rate * patches)
    if 0 < hidden < patches:
        return hidden
    if patches == 1:
        raise ConfigError(f"{what}={rate:g}: the example is one patch; take smaller patches")
    least, most = 1 / patches, (patches - 1) / patches
    raise ConfigError(
        f"{what}={rate:g} hides {hidden} of {patches} patches, which leaves nothing to "
        f"{'see' if hidden else 'fill in'}: the nearest is {most if hidden else least:.4g}, in all "
        f"{least:.4g} (1 patch) to {most:.4g} ({patches - 1})"
    )


def _known(values: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Names and values of those that are not traced."""
    return ((name, value) for name, value in values.items() if not isinstance(value, Tracer))


def _is_number(value: object) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real or getattr(value, "shape", None) == ()


# ---- arrays and shapes ---------------------------------------------------------------------------


def require_rank(rank: int, **arrays: chex.Numeric) -> None:
    """Raises ShapeError naming the array and its shape unless all have the given rank."""
    for name, array in arrays.items():
        if jnp.ndim(array) != rank:
            raise ShapeError(f"{name} must have rank {rank}, got shape {jnp.shape(array)}")


def require_event_rank(
    shape: tuple[int, ...], ranks: tuple[int, ...], what: str, expected: str
) -> None:
    """Raises ShapeError unless the shape of an event has one of these ranks."""
    if len(shape) not in ranks:
        raise ShapeError(f"{what} {expected}, got shape {tuple(shape)}")


def require_same_shape(**arrays: chex.Numeric) -> None:
    """Raises ShapeError naming every shape unless all arrays have one shape."""
    shapes = {name: jnp.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeError(f"{' and '.join(shapes)} must have the same shape, got {listing}")


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
    listing = ", ".join(f"{name} {jnp.shape(array)}" for name, (array, _) in arrays.items())
    raise ShapeError(f"{' and '.join(arrays)} must have shape {expected}, got {listing}")


def require_two(what: str, rows: int) -> None:
    """Raises ShapeError for a statistic over rows that one row does not have.

    Of one row a covariance is 0 and a density among others a constant, both without a gradient.
    """
    if rows < 2:
        raise ShapeError(
            f"{what} needs a batch of 2 examples or more, got {rows}: take larger batches, or less "
            "accumulation"
        )


def require_mask(observed: chex.Array | None, x: chex.Array) -> None:
    """Raises unless `observed` is None or a boolean array of the shape of x."""
    if observed is None:
        return
    if jnp.result_type(observed) != jnp.bool_:
        raise ConfigError(f"observed must be a bool mask, got dtype {jnp.result_type(observed)}")
    require_same_shape(x=x, observed=observed)
