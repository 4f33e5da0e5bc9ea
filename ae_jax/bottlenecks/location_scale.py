"""Posteriors of heavier tails than the Gaussian's, by location and scale."""

from typing import Any

import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._prior import with_density
from ae_jax.bottlenecks._shapes import latent_shape
from ae_jax.checks import require_positive
from ae_jax.distributions import Laplace, StudentT
from ae_jax.types import Array, Bottleneck


def _split(features: Array) -> tuple[Array, Array]:
    """The location, and the logarithm of the scale, of features `[…, 2 d]`."""
    loc, raw = jnp.split(features, 2, axis=-1)
    return loc, 0.5 * losses.bounded_log_var(raw)


@BOTTLENECKS.register
def laplace(latent_dim: int | tuple[int, ...], prior: Any = "laplace") -> Bottleneck:
    """q(z | x) = Laplace(μ, b) in every entry; the encoder emits μ and the raw log b².

    Against a Laplace or a normal prior the KL has a closed form.

    Args:
      latent_dim: the size d or shape `(…, d)` of z; the encoder must emit `(…, 2 d)`.
      prior: a Prior or its config node.

    Example:
      >>> import ae_jax as ae
      >>> ae.bottlenecks.laplace(4).feature_shape
      (8,)
    """
    shape = latent_shape(latent_dim)
    wide = (*shape[:-1], 2 * shape[-1])
    return with_density(shape, wide, lambda features: Laplace(*_split(features)), prior)


@BOTTLENECKS.register
def student_t(
    latent_dim: int | tuple[int, ...], degrees: float = 5.0, prior: Any = "student_t"
) -> Bottleneck:
    """q(z | x) = Student's t in every entry; the encoder emits μ and the raw log σ².

    Args:
      latent_dim: the size d or shape `(…, d)` of z; the encoder must emit `(…, 2 d)`.
      degrees: degrees of freedom, ν.
      prior: a Prior or its config node.

    Example:
      >>> import ae_jax as ae
      >>> ae.bottlenecks.student_t(4, degrees=3.0).feature_shape
      (8,)
    """
    shape = latent_shape(latent_dim)
    require_positive(degrees=degrees)
    wide = (*shape[:-1], 2 * shape[-1])
    posterior = lambda features: StudentT(*_split(features), float(degrees))
    return with_density(shape, wide, posterior, prior)
