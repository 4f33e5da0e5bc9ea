"""Pure functions from the data's units to the model's and back, applied on the device.

They are stored with the run and applied by train, encode, decode, sample and evaluate alike.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ae_jax.errors import ConfigError
from ae_jax.registry import PREPROCESSING
from ae_jax.types import Array, Node


class Preprocessing(NamedTuple):
    """One invertible map of values.

    Attributes:
      apply: data's units, any numeric dtype, to float32.
      invert: float32 back to the data's units, not rounded.
      node: what rebuilds it.
    """

    apply: Callable[[Array], Array]
    invert: Callable[[Array], Array]
    node: Node | None = None


PREPROCESSING.part = Preprocessing


@PREPROCESSING.register
def none() -> Preprocessing:
    """Values as they are, in float32."""
    as_float = lambda x: jnp.asarray(x, jnp.float32)
    return Preprocessing(as_float, as_float)


@PREPROCESSING.register
def scale(low: float, high: float) -> Preprocessing:
    """(x - low) / (high - low): the range [low, high] to [0, 1].

    Raises:
      ConfigError: high is not above low.
    """
    if not high > low:
        raise ConfigError(f"scale needs high above low, got low={low!r}, high={high!r}")
    width = high - low
    return Preprocessing(
        apply=lambda x: (jnp.asarray(x, jnp.float32) - low) / width,
        invert=lambda x: jnp.asarray(x, jnp.float32) * width + low,
    )


@PREPROCESSING.register
def standardise(mean: float | Sequence[float], std: float | Sequence[float]) -> Preprocessing:
    """(x - mean) / std, with statistics of the training split.

    Args:
      mean: one number, or one a feature of the last axis.
      std: likewise, above zero.

    Raises:
      ConfigError: a standard deviation that is not above zero.
    """
    centre, spread = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    if not (spread > 0).all():
        raise ConfigError(f"standardise needs std above zero, got {std!r}")
    return Preprocessing(
        apply=lambda x: (jnp.asarray(x, jnp.float32) - centre) / spread,
        invert=lambda x: jnp.asarray(x, jnp.float32) * spread + centre,
    )
