"""The power spherical distribution held against the uniform one, without large terms that cancel.

Its normaliser is a ratio of gamma functions (d - 1)/2 apart: of whole steps, each the logarithm of
1 + κ/x, and in even dimensions of half a step more, by its asymptotic series.
"""

import math
import numbers

import chex
import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.errors import ConfigError, ShapeError
from ae_jax.losses._precision import at_least_float32

SHIFT = 8
"""Whole steps up to where the series of half a step is precise to 1e-9."""
SERIES = ((1, -1 / 8), (3, 1 / 192), (5, -1 / 640), (7, 17 / 14336))
"""Powers of 1/a and their coefficients in log Γ(a + ½) - log Γ(a) - ½ log a."""


def power_spherical_nll(x: chex.Array, direction: chex.Array, kappa: chex.Array) -> jax.Array:
    """-log p(x) of the power spherical density c (1 + μ·x)^κ on the unit sphere of ℝ^d, in nats.

    The density is with respect to area: that of the sphere's uniform distribution is 1 / its area.
    (1 + μ·x)/2 is formed from ‖x - μ‖ or ‖x + μ‖, whichever is shorter. De Cao & Aziz, "The power
    spherical distribution", 2020.

    Args:
      x: unit vectors `[*spheres, d]`.
      direction: μ, unit vectors of the same shape.
      kappa: κ ≥ 0, `[*spheres]`.

    Returns:
      The loss, a scalar, summed over spheres.

    Raises:
      ShapeError: if the shapes do not fit.
      ConfigError: if d is below 2.

    >>> x = jnp.array([1.0, 0.0])
    >>> round(float(power_spherical_nll(x, x, jnp.zeros(()))), 4)  # log 2π
    1.8379
    """
    if jnp.shape(x) != jnp.shape(direction) or jnp.shape(kappa) != jnp.shape(x)[:-1]:
        raise ShapeError(
            f"x and direction must be [*spheres, d] and kappa [*spheres], got {jnp.shape(x)}, "
            f"{jnp.shape(direction)} and {jnp.shape(kappa)}"
        )
    x, direction, kappa = at_least_float32(x, direction, kappa)
    far = jnp.minimum(jnp.sum(jnp.square(x - direction), axis=-1) / 4, 1)
    near = jnp.sum(jnp.square(x + direction), axis=-1) / 4
    ahead = far < 0.5
    tiny = jnp.finfo(x.dtype).tiny
    log_half = jnp.where(
        ahead,
        jnp.log1p(-jnp.where(ahead, far, 0)),
        jnp.log(jnp.maximum(jnp.where(ahead, 1, near), tiny)),
    )
    dimension = x.shape[-1]
    excess = kappa * log_half + _log_ratio(kappa, dimension)[0]
    return jnp.sum(log_sphere_area(dimension) - excess)


def kl_power_spherical_uniform(kappa: chex.Numeric, dimension: int) -> jax.Array:
    """KL(PowerSpherical(μ, κ) ‖ uniform) on the unit sphere of ℝ^d, whatever the direction μ.

    Σ_j [log(1 + κ/x_j) - κ/(x_j + κ)] over the steps x_j of the ratio of gamma functions, whose
    summands are not negative. De Cao & Aziz, "The power spherical distribution", 2020.

    Args:
      kappa: κ ≥ 0; of any shape, for a product of spheres.
      dimension: d ≥ 2, of the space around the sphere.

    Returns:
      The divergence, a scalar, in nats, summed over `kappa`.

    Raises:
      ConfigError: if `dimension` is not a whole number of at least 2.

    >>> float(kl_power_spherical_uniform(jnp.zeros(()), 3))
    0.0
    """
    (kappa,) = at_least_float32(kappa)
    log_ratio, slope = _log_ratio(kappa, dimension)
    return jnp.sum(log_ratio - slope)


def log_sphere_area(dimension: int) -> float:
    """Log of the area of the unit sphere of ℝ^d, log 2 + d/2 log π - log Γ(d/2).

    >>> round(log_sphere_area(3), 4)  # log 4π
    2.531
    """
    _require_sphere(dimension)
    half = dimension / 2
    return math.log(2) + half * math.log(math.pi) - math.lgamma(half)


def _require_sphere(dimension: int) -> None:
    whole = isinstance(dimension, numbers.Integral) and not isinstance(dimension, bool)
    if not whole or dimension < 2:
        raise ConfigError(
            f"a sphere needs at least 2 dimensions around it, got {dimension!r}: that of 1 is two "
            "points"
        )


def _log_ratio(kappa: jax.Array, dimension: int) -> tuple[jax.Array, jax.Array]:
    """S = log p(x) + log area - κ log((1 + μ·x)/2), and κ dS/dκ; elementwise.

    S is log [Γ(2β + κ) Γ(β) / (Γ(β + κ) Γ(2β))] with β = (d - 1)/2.
    """
    _require_sphere(dimension)
    beta = (dimension - 1) / 2
    steps = np.arange(int(beta)) + beta
    signs = np.ones_like(steps)
    half = 2 * beta - 0.5 if dimension % 2 == 0 else None
    if half is not None:  # Γ(a + ½) / Γ(a), as that at a + SHIFT, and steps between them
        shift = np.arange(SHIFT) + half
        steps = np.concatenate([steps, shift, shift + 0.5])
        signs = np.concatenate([signs, np.ones(SHIFT), -np.ones(SHIFT)])
    column = jnp.asarray(steps, kappa.dtype)
    share = kappa[..., None] / column
    total = jnp.sum(signs * jnp.log1p(share), axis=-1)
    slope = jnp.sum(signs * (share / (1 + share)), axis=-1)
    if half is not None:
        top = half + SHIFT
        share, inverse = kappa / top, 1 / (kappa + top)
        total = total + 0.5 * jnp.log1p(share)
        slope = slope + 0.5 * kappa * inverse
        for power, coefficient in SERIES:
            total = total + coefficient * (inverse**power - top**-power)
            slope = slope - coefficient * power * kappa * inverse ** (power + 1)
    return total, slope
