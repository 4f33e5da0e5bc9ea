"""The Laplace log-density."""

import math

import chex
import jax
import jax.numpy as jnp

from ae_jax.losses._absolute import absolute
from ae_jax.losses._observed import sum_over_observed


def laplace_nll(
    x: chex.Array, location: chex.Array, log_scale: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Laplace negative log-likelihood, Σ [|x - μ| / b + log b + log 2], in nats.

    Its gradient is zero where x = μ.

    Args:
      x: `[*event]`.
      location: μ, the median and mean, `[*event]`.
      log_scale: log b, the mean absolute deviation's logarithm, `[*event]`, finite values of
        exp(-log_scale) needed: within ±80 in float32.
      observed: bool `[*event]`, entries that count; None: all.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(laplace_nll(jnp.array([3.0]), jnp.array([1.0]), jnp.zeros(1)))
    2.6931
    """

    def cost(target: jax.Array, centre: jax.Array, log_b: jax.Array) -> jax.Array:
        return absolute(target - centre) * jnp.exp(-log_b) + log_b + math.log(2)

    return sum_over_observed(cost, observed, x, location=location, log_scale=log_scale)
