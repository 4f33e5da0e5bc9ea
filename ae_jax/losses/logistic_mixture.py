"""Mixtures of logistics over evenly spaced grey levels, and bits per dimension."""

import math

import chex
import jax
import jax.numpy as jnp

from ae_jax.errors import ConfigError
from ae_jax.losses._exponentials import log_exponential_ratio
from ae_jax.losses._observed import sum_over_observed
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Shape


def discretized_logistic_mixture_nll(
    x: chex.Array,
    logits: chex.Array,
    locations: chex.Array,
    log_scales: chex.Array,
    observed: chex.Array | None = None,
    *,
    levels: int = 256,
) -> jax.Array:
    """Negative log-likelihood of grey levels under a mixture of discretised logistics, in nats.

    -Σ log Σₖ πₖ [σ((v + h - μₖ)/sₖ) - σ((v - h - μₖ)/sₖ)]: v = 2x - 1 is the grey level and
    h = 1 / (levels - 1) half a step between two, both on the scale of [-1, 1] on which locations
    and scales are; the lowest level takes all mass below it and the highest all above. Salimans et
    al., "PixelCNN++", ICLR 2017, without their coupling of the channels. The bracket is computed as
    σ(a) σ(-b) (1 - e^-(a - b)), which needs none of their special cases: value and gradient are
    finite wherever a and b are.

    Args:
      x: values in [0, 1], `[*event]`, rounded to the nearest level.
      logits: log πₖ up to a constant, `[*event, K]`.
      locations: μ, `[*event, K]`.
      log_scales: log s, `[*event, K]`, within ±80 in float32.
      observed: bool `[*event]`, entries that count; None: all.
      levels: how many grey levels there are.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if a parameter does not have the shape of x and one axis more, `observed` is not
        boolean or there are fewer than 2 levels.

    >>> zeros = jnp.zeros((1, 1))
    >>> float(discretized_logistic_mixture_nll(jnp.ones(1), zeros, zeros, zeros, levels=2))
    0.6931
    """
    if levels < 2:
        raise ConfigError(f"levels must be at least 2, got {levels!r}")

    def cost(
        value: jax.Array, logit: jax.Array, location: jax.Array, log_s: jax.Array
    ) -> jax.Array:
        level = jnp.round(value * (levels - 1))[..., None]
        masses = log_level_mass(level, location, log_s, levels)
        return -jax.nn.logsumexp(jax.nn.log_softmax(logit) + masses, axis=-1)

    parameters = {"logits": logits, "locations": locations, "log_scales": log_scales}
    return sum_over_observed(cost, observed, x, components=True, **parameters)


def log_level_mass(
    level: jax.Array, location: jax.Array, log_scale: jax.Array, levels: int
) -> jax.Array:
    """The log of a logistic's mass on a grey level, elementwise.

    Args:
      level: 0 … levels - 1.
      location: μ, on the scale of [-1, 1].
      log_scale: log s, on the same.
      levels: how many there are.
    """
    top, inverse = levels - 1, jnp.exp(-log_scale)
    offset = (2 * level - top) / top - location
    upper, lower = (offset + 1 / top) * inverse, (offset - 1 / top) * inverse
    # log(1 - e^-δ) with δ the bin's width in scales, whose logarithm never underflows.
    log_width = math.log(2 / top) - log_scale
    log_middle = log_width - log_exponential_ratio(2 / top * inverse)
    log_below, log_above = jax.nn.log_sigmoid(upper), jax.nn.log_sigmoid(-lower)
    inside = log_below + log_above + log_middle
    return jnp.where(level <= 0, log_below, jnp.where(level >= top, log_above, inside))


def bits_per_dim(log_prob: chex.Array, event_shape: Shape) -> jax.Array:
    """Negative log-likelihood in bits per dimension, -log p / (d log 2), d entries an event.

    It compares with published figures only where log_prob is that of a discrete distribution
    over the original values, as the discretised logistic mixture's is.

    Args:
      log_prob: nats, any shape.
      event_shape: shape of one event.

    Returns:
      Of the shape of log_prob.

    Raises:
      ConfigError: an event without entries.

    >>> float(bits_per_dim(jnp.log(0.25), (2,)))
    1.0
    """
    if not (size := math.prod(event_shape)):
        raise ConfigError(f"event_shape must have entries, got {tuple(event_shape)}")
    (log_prob,) = at_least_float32(log_prob)
    return log_prob / (-size * math.log(2))
