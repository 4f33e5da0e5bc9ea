"""Gaussian posteriors whose entries depend on each other."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._prior import vector_shape, with_density
from ae_jax.checks import require_positive_ints
from ae_jax.distributions import FullGaussian, LowRankGaussian
from ae_jax.errors import ConfigError
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Array, Bottleneck

STEEPEST = 30.0
"""The most that another entry, or a shared direction, moves one by, in its own deviations."""


def _kept(raw: Array) -> Array:
    """Within ±STEEPEST, smoothly."""
    (raw,) = at_least_float32(raw)
    return STEEPEST * jnp.tanh(raw / STEEPEST)


@BOTTLENECKS.register
def full_gaussian(latent_dim: int, prior: Any = "standard_normal") -> Bottleneck:
    """q(z | x) = N(μ, L Lᵀ) with a full covariance (Kingma & Welling 2019, section 2.5.1).

    The encoder emits μ, the raw logarithms of L's squared diagonal, and L's rows below it, in units
    of each row's diagonal and within ±30.

    Args:
      latent_dim: d; the encoder must emit d + d(d + 1)/2 numbers.
      prior: a Prior or its config node.

    Example:
      >>> import ae_jax as ae
      >>> ae.bottlenecks.full_gaussian(4).feature_shape
      (14,)
    """
    shape = vector_shape("a full covariance", latent_dim)
    (size,) = shape
    below = np.tril_indices(size, -1)

    def posterior(features):
        loc, raw, rest = jnp.split(features, (size, 2 * size))
        diagonal = jnp.exp(0.5 * losses.bounded_log_var(raw))
        unit = jnp.eye(size, dtype=diagonal.dtype).at[below].set(_kept(rest))
        return FullGaussian(loc, unit * diagonal[:, None])

    return with_density(shape, (2 * size + len(below[0]),), posterior, prior)


@BOTTLENECKS.register
def low_rank_gaussian(latent_dim: int, rank: int = 2, prior: Any = "standard_normal") -> Bottleneck:
    """q(z | x) = N(μ, diag σ² + W Wᵀ) with W of few columns (Rezende, Mohamed & Wierstra 2014).

    The encoder emits μ, the raw log σ², and W / σ row by row, within ±30: the smallest eigenvalue
    of the correlations that it makes is one that float32 can invert.

    Args:
      latent_dim: d; the encoder must emit d (2 + rank) numbers.
      rank: the number of W's columns, below d.
      prior: a Prior or its config node.

    Example:
      >>> import ae_jax as ae
      >>> ae.bottlenecks.low_rank_gaussian(10, rank=2).feature_shape
      (40,)
    """
    shape = vector_shape("a low-rank covariance", latent_dim)
    (size,) = shape
    require_positive_ints(rank=rank)
    if rank >= size:
        raise ConfigError(
            f"rank must be below latent_dim={size}, got {rank}: take ae.bottlenecks.full_gaussian"
        )

    def posterior(features):
        loc, raw, rest = jnp.split(features, (size, 2 * size))
        log_var = losses.bounded_log_var(raw)
        slim = _kept(rest.reshape(size, rank))
        return LowRankGaussian(loc, log_var, slim * jnp.exp(0.5 * log_var)[:, None])

    return with_density(shape, (size * (2 + rank),), posterior, prior)
