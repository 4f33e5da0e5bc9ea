"""The Gaussian log-density and the bound that keeps its log-variance finite."""

import math

import jax
import jax.numpy as jnp

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
      Of raw's shape, in [-B, B].
    """
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
    """
    x, mean, log_var = at_least_float32(x, mean, log_var)
    if observed is not None:
        x, mean, log_var = (jnp.where(observed, v, 0) for v in (x, mean, log_var))
    nll = 0.5 * (jnp.square(x - mean) * jnp.exp(-log_var) + log_var + math.log(2 * math.pi))
    return jnp.sum(nll if observed is None else jnp.where(observed, nll, 0))
