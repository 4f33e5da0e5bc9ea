"""The diagonal-Gaussian posterior of the variational autoencoder."""

from typing import Any

import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._prior import with_density
from ae_jax.bottlenecks._shapes import latent_shape
from ae_jax.distributions import DiagonalGaussian
from ae_jax.types import Bottleneck


@BOTTLENECKS.register
def gaussian(latent_dim: int | tuple[int, ...], prior: Any = "standard_normal") -> Bottleneck:
    """q(z | x) = N(μ, diag σ²) with μ and log σ² from the encoder (Kingma & Welling 2014).

    The encoder emits μ and the raw log σ² side by side on the last axis; the log-variance passes
    through `ae_jax.losses.bounded_log_var`. Samples are μ + σ ε, σ = exp(½ log σ²).

    Args:
      latent_dim: size d or shape `(…, d)` of z; the encoder emits `(…, 2 d)`.
      prior: Prior, its name or its config node.

    Returns:
      A Bottleneck.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.gaussian(16)
      >>> bottleneck.latent_shape, bottleneck.feature_shape
      ((16,), (32,))
    """
    shape = latent_shape(latent_dim)

    def posterior(features):
        loc, raw = jnp.split(features, 2, axis=-1)
        return DiagonalGaussian(loc, losses.bounded_log_var(raw))

    return with_density(shape, (*shape[:-1], 2 * shape[-1]), posterior, prior)
