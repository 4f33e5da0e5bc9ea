"""The Gaussian log-density and the bound that keeps its log-variance finite."""

import math

import jax
import jax.numpy as jnp

from ae_jax.losses._observed import sum_over_observed
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Array

LOG_VAR_BOUND = 20.0


def bounded_log_var(raw: Array, bound: float = LOG_VAR_BOUND) -> Array:
    """A log-variance kept within ±bound, smoothly.

    `-B + softplus(2B - softplus(B - raw))`: within 1e-6 of raw while |raw| < B - 14, and with
    finite gradients for every raw value, so that exp never overflows.

    Args:
      raw: any shape, any value.
      bound: B > 0, in nats of log-variance.

    Returns:
      Of raw's shape, in [-B, B], float32 or better.
    """
    (raw,) = at_least_float32(raw)
    return -bound + jax.nn.softplus(2 * bound - jax.nn.softplus(bound - raw))


def gaussian_nll(x: Array, mean: Array, log_var: Array, observed: Array | None = None) -> Array:
    """½ Σ [(x - μ)² / σ² + log σ² + log 2π], constants included.

    Args:
      x: `[*event]`.
      mean: `[*event]`.
      log_var: `[*event]`, finite values of exp(-log_var) needed: within ±80 in float32.
      observed: bool `[*event]`, entries that count; None: all.

    Returns:
      Scalar, nats.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(gaussian_nll(jnp.array([1.0]), jnp.array([3.0]), jnp.array([0.0])))
    2.9189
    """

    def cost(x: Array, mean: Array, log_var: Array) -> Array:
        scaled = jnp.square(x - mean) * jnp.exp(-log_var)
        return 0.5 * (scaled + log_var + math.log(2 * math.pi))

    return sum_over_observed(cost, observed, x, mean=mean, log_var=log_var)
