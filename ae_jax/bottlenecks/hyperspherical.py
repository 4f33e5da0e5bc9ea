"""Posteriors on unit spheres."""

from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._prior import with_density
from ae_jax.bottlenecks._shapes import latent_shape
from ae_jax.distributions import PowerSpherical
from ae_jax.errors import ConfigError
from ae_jax.losses._precision import at_least_float32
from ae_jax.priors.fixed import SPHERES
from ae_jax.types import Array, Bottleneck


@BOTTLENECKS.register
def hyperspherical(latent_dim: int | tuple[int, ...], prior: Any = "uniform_sphere") -> Bottleneck:
    """q(z | x) = PowerSpherical(μ, κ) on the unit sphere of ℝ^d (De Cao & Aziz 2020).

    The encoder emits a vector, whose direction is μ, and the raw κ: κ is d times its softplus, so
    that samples keep to μ as much in any dimension at first, and the code is not given up before
    the decoder reads it. Codes are unit vectors: a sphere of d - 1 dimensions. The KL to the
    uniform prior has a closed form (Davidson et al. 2018, with this law in the place of the von
    Mises-Fisher one).

    Args:
      latent_dim: d of at least 2, or `(…, d)` for a product of spheres; the encoder must emit
        `(…, d + 1)`.
      prior: a Prior on spheres or its config node: "uniform_sphere" or "vamp".

    Example:
      >>> import ae_jax as ae
      >>> ae.bottlenecks.hyperspherical(3).feature_shape
      (4,)
    """
    shape = latent_shape(latent_dim)
    if shape[-1] < 2:
        raise ConfigError(
            f"latent_dim must be at least 2, got {latent_dim!r}: the unit sphere of one dimension "
            "is two points; 2 gives the circle"
        )

    def posterior(features):
        (features,) = at_least_float32(features)
        kappa = shape[-1] * jax.nn.softplus(features[..., -1])
        return PowerSpherical(_unit(features[..., :-1]), kappa)

    return with_density(shape, (*shape[:-1], shape[-1] + 1), posterior, prior, SPHERES)


def _unit(vector: Array) -> Array:
    """The vector's direction; the first axis of a vector that has none."""
    square = jnp.sum(jnp.square(vector), axis=-1, keepdims=True)
    there = square > 1e-30
    axis = jnp.zeros_like(vector).at[..., 0].set(1)
    return jnp.where(there, vector, axis) / jnp.sqrt(jnp.where(there, square, 1))
