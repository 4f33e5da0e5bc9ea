"""What the built-in networks share: options, conditions, normalisation, first and last layers."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError, nearest
from ae_jax.networks._dense import Dense
from ae_jax.types import BATCH_AXIS, Array, Shape

DTYPES = ("bfloat16", "float16", "float32", "float64")
MOMENTUM = 0.9  # of batch statistics: those of some tens of steps
CHANNELS_A_GROUP = 4  # fewer would leave nothing of an image of one position
GROUPS = 32


def require_dtype(dtype: str | None) -> None:
    """Raises ConfigError unless it is None or names a floating dtype."""
    if dtype is not None and dtype not in DTYPES:
        raise ConfigError(f"dtype cannot be {dtype!r}{nearest(dtype, DTYPES)}")


def require_condition(condition: str | None, num_classes: int | None) -> None:
    """Raises ConfigError for a condition that cannot be."""
    if num_classes is not None:
        require_positive_ints(num_classes=num_classes)
        if condition is None:
            raise ConfigError(
                f"num_classes={num_classes} says how many labels there are: name the entry of "
                "extras that holds them as condition"
            )
    if condition is not None and (not isinstance(condition, str) or not condition):
        raise ConfigError(f"condition must be the name of an entry of extras, got {condition!r}")


def floating(x: Array) -> Array:
    """x, integers as float32."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def at_full_precision(y: Array) -> Array:
    """The same in float32 or better, whatever y was computed in."""
    return y.astype(jnp.promote_types(y.dtype, jnp.float32))


def condition_vector(
    extras: Mapping[str, Array] | None, condition: str, num_classes: int | None
) -> Array:
    """The condition of one example as a vector.

    Args:
      extras: extras of the example.
      condition: the entry's name.
      num_classes: K for a label, which becomes a one-hot vector (zeros for -1, no label, and
        for all outside 0 … K - 1, which `fit` and Run refuse); None for a vector, which is
        flattened.

    Returns:
      float `[K]` or `[n]`.

    Raises:
      ConfigError: the entry is missing, or is not a label where one is expected or the reverse.
    """
    if not extras or condition not in extras:
        raise ConfigError(
            f"the network is conditioned on extras['{condition}'], which it was not given"
            f"{nearest(condition, extras or ())}"
        )
    value = jnp.asarray(extras[condition])
    whole = not jnp.issubdtype(value.dtype, jnp.floating)
    if num_classes is not None:
        if value.size != 1 or not whole:
            raise ConfigError(
                f"extras['{condition}'] must be one whole-numbered label, "
                f"got {value.dtype} of shape {value.shape}"
            )
        return jax.nn.one_hot(value.reshape(()).astype(jnp.int32), num_classes)
    if whole and value.ndim == 0:
        raise ConfigError(f"extras['{condition}'] is a label: say how many there are, num_classes=")
    return floating(jnp.ravel(value))


def append_condition(
    x: Array, extras: Mapping[str, Array] | None, condition: str | None, num_classes: int | None
) -> Array:
    """The condition appended to the last axis of x, at every position."""
    if condition is None:
        return x
    vector = condition_vector(extras, condition, num_classes).astype(x.dtype)
    return jnp.concatenate([x, jnp.broadcast_to(vector, (*x.shape[:-1], vector.size))], axis=-1)


def group_count(channels: int) -> int:
    """The most groups, up to 32, that divide the channels and hold at least four of them each."""
    most = max(min(GROUPS, channels // CHANNELS_A_GROUP), 1)
    return max(n for n in range(1, most + 1) if channels % n == 0)


def _batch(name: str, dtype: Any, train: bool, x: Array) -> nn.Module:
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=MOMENTUM,
        axis_name=BATCH_AXIS,
        dtype=dtype,
        name=name,
    )


def _group(name: str, dtype: Any, train: bool, x: Array) -> nn.Module:
    axes = tuple(range(x.ndim))
    return nn.GroupNorm(group_count(x.shape[-1]), reduction_axes=axes, dtype=dtype, name=name)


NORMALISATIONS = {
    "batch": _batch,
    "group": _group,
    "layer": lambda name, dtype, train, x: nn.LayerNorm(dtype=dtype, name=name),
}


def require_normalisation(normalisation: str | None) -> None:
    """Raises ConfigError unless it is None or a known name."""
    if normalisation is not None and normalisation not in NORMALISATIONS:
        known = nearest(normalisation, NORMALISATIONS)
        raise ConfigError(f"normalisation cannot be {normalisation!r}{known}")


def normalise(x: Array, kind: str | None, *, name: str, dtype: Any, train: bool) -> Array:
    """Normalises x: over the batch, over groups of channels, over the last axis, or not at all."""
    return x if kind is None else NORMALISATIONS[kind](name, dtype, train, x)(x)


def emit(x: Array, output_shape: Shape, dtype: Any, *, per_position: bool) -> Array:
    """The dense layer "output" of an encoder, in float32 or better.

    Args:
      x: `[*positions, c]`.
      output_shape: `[*positions, d]` if per_position, else any.
      dtype: computed in.
      per_position: each position by itself, or all of them flattened.
    """
    size = output_shape[-1] if per_position else math.prod(output_shape)
    x = x if per_position else jnp.ravel(x)
    return at_full_precision(Dense(size, dtype=dtype, name="output")(x).reshape(output_shape))


def unfold(z: Array, positions: Shape, width: int, dtype: Any) -> Array:
    """The dense layer "input" of a decoder: from z to `[*positions, width]`.

    z of shape `[*positions, d]` goes position by position, any other flattened.
    """
    if z.ndim == len(positions) + 1 and z.shape[:-1] == tuple(positions):
        return Dense(width, dtype=dtype, name="input")(z)
    flat = Dense(math.prod(positions) * width, dtype=dtype, name="input")(jnp.ravel(z))
    return flat.reshape(*positions, width)
