"""Noise that is added or multiplied, entry by entry; and none at all."""

import jax.numpy as jnp

from ae_jax._registry import CORRUPTIONS
from ae_jax.corruptions._entries import Corruption, from_noise, require_order, require_std
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, PRNGKey


@CORRUPTIONS.register
def none() -> Corruption:
    """The identity: x̃ = x, for autoencoders that do not denoise."""

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        return jnp.asarray(x), {}

    return corrupt


@CORRUPTIONS.register
def gaussian(std: float, mean: float = 0.0) -> Corruption:
    """Adds noise of the normal distribution, x̃ = x + mean + std · ε, entry by entry.

    Args:
      std: standard deviation of the noise, not negative.
      mean: mean of the noise.

    Returns:
      A corruption of floating x.

    Raises:
      ConfigError: if `std` is negative, or, when called, if x is not floating.
    """
    require_std(std)
    return from_noise(lambda key, x: x + (mean + std * fused_random.normal(key, x.shape, x.dtype)))


@CORRUPTIONS.register
def uniform(low: float, high: float) -> Corruption:
    """Adds noise of the uniform distribution on [low, high), entry by entry.

    Args:
      low: the least noise.
      high: the most, not below `low`.

    Returns:
      A corruption of floating x.

    Raises:
      ConfigError: if `low` exceeds `high`, or, when called, if x is not floating.
    """
    require_order(low, high)
    return from_noise(lambda key, x: x + fused_random.uniform(key, x.shape, x.dtype, low, high))


@CORRUPTIONS.register
def multiplicative(std: float) -> Corruption:
    """Multiplies by noise of the normal distribution, x̃ = x · (1 + std · ε), entry by entry.

    Args:
      std: standard deviation of the factor, not negative.

    Returns:
      A corruption of floating x.

    Raises:
      ConfigError: if `std` is negative, or, when called, if x is not floating.
    """
    require_std(std)
    return from_noise(lambda key, x: x * (1.0 + std * fused_random.normal(key, x.shape, x.dtype)))
