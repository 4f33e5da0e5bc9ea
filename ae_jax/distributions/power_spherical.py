"""The power spherical distribution, and the uniform one, on unit spheres."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.distributions._kl import kl_divergence
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, Distribution, PRNGKey, Shape


class PowerSpherical(NamedTuple):
    """Density c (1 + μ·z)^κ with respect to area on the unit sphere (De Cao & Aziz 2020).

    Attributes:
      direction: μ, unit vectors `[*spheres, d]`.
      concentration: κ ≥ 0, `[*spheres]`.

    Example:
      >>> import jax.numpy as jnp
      >>> q = PowerSpherical(jnp.array([0.0, 1.0]), jnp.zeros(()))
      >>> round(float(q.log_prob(jnp.array([1.0, 0.0]))), 4)  # -log 2π
      -1.8379
    """

    direction: Array
    concentration: Array

    def log_prob(self, value: Array) -> Array:
        """Summed over spheres, scalar nats, of unit vectors; with respect to area."""
        return -losses.power_spherical_nll(value, *self)

    def sample(self, key: PRNGKey) -> Array:
        """A height along μ, a tangent, and a reflection to μ; nothing is drawn in vain (alg. 1)."""
        direction = self.direction
        along, across = jax.random.split(key)
        share, rest = _beta(along, self.concentration, direction.shape[-1])
        tangent = fused_random.normal(across, _tangents(direction.shape), direction.dtype)
        tangent = tangent / jnp.linalg.norm(tangent, axis=-1, keepdims=True)
        width = 2 * jnp.sqrt(jnp.maximum(share * rest, jnp.finfo(share.dtype).tiny))
        z = jnp.concatenate([(share - rest)[..., None], width[..., None] * tangent], axis=-1)
        return _reflected(z, direction)

    @property
    def mean(self) -> Array:
        """E[z] = μ κ / (κ + d - 1): within the sphere."""
        kappa = self.concentration[..., None]
        return self.direction * kappa / (kappa + self.direction.shape[-1] - 1)

    @property
    def mode(self) -> Array:
        """μ."""
        return self.direction


def _beta(key: PRNGKey, kappa: Array, dimension: int) -> tuple[Array, Array]:
    """Beta(β + κ, β) with β = (d - 1)/2, and 1 less that, reparameterised and without rejection.

    Beta(a, n) of a whole n is the product of U_j^{1/(a + j)}; Beta(a, ½), which even dimensions
    need beside it, is 1 - (1 - U^{1/(a - ½)}) cos² 2πV (Ulrich 1984, by squares).
    """
    whole, half = divmod(dimension - 1, 2)
    shape, dtype = jnp.shape(kappa), kappa.dtype
    of_whole, of_half, of_angle = jax.random.split(key, 3)
    steps = jnp.arange(whole) + (whole + half)
    log_share = -jnp.sum(
        _exponential(of_whole, (*shape, whole), dtype) / (kappa[..., None] + steps), axis=-1
    )
    share, rest = jnp.exp(log_share), -jnp.expm1(log_share)
    if half:
        gap = jnp.maximum(kappa + whole, jnp.finfo(dtype).tiny)
        angle = 2 * math.pi * fused_random.uniform(of_angle, shape, dtype)
        lost = -jnp.expm1(-_exponential(of_half, shape, dtype) / gap) * jnp.square(jnp.cos(angle))
        share, rest = (1 - lost) * share, lost + (1 - lost) * rest
    return share, rest


def _exponential(key: PRNGKey, shape: Shape, dtype: Any) -> Array:
    return -jnp.log(fused_random.uniform(key, shape, dtype, jnp.finfo(dtype).tiny))


def _tangents(shape: Shape) -> Shape:
    return (*shape[:-1], shape[-1] - 1)


def _reflected(z: Array, direction: Array) -> Array:
    """Z with e₁ brought onto μ: mirrored along e₁ - μ or, where that is short, e₁ + μ and negated.

    The two differ in the tangent's direction, which is uniform. Along a short one, rounding and the
    gradient of μ would both be divided by its length.
    """
    sign = jnp.where(direction[..., :1] > 0, -1, 1).astype(direction.dtype)
    axis = jnp.zeros_like(direction).at[..., 0].set(1) - sign * direction
    square = jnp.sum(jnp.square(axis), axis=-1, keepdims=True)  # at least 2
    along = jnp.sum(axis * z, axis=-1, keepdims=True) / square
    return sign * (z - 2 * along * axis)


@functools.partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["shape"])
@dataclasses.dataclass(frozen=True)
class UniformSphere:
    """The uniform distribution on unit spheres, with respect to area.

    Attributes:
      shape: `(*spheres, d)`.

    Example:
      >>> import jax.numpy as jnp
      >>> round(float(UniformSphere((3,)).log_prob(jnp.array([0.0, 0.0, 1.0]))), 4)  # -log 4π
      -2.531
    """

    shape: Shape

    def log_prob(self, value: Array) -> Array:
        """-log area, summed over spheres, of any unit vectors."""
        del value
        *spheres, dimension = self.shape
        return jnp.full((), -math.prod(spheres) * losses.log_sphere_area(dimension))

    def sample(self, key: PRNGKey) -> Array:
        """Normal vectors made unit ones."""
        drawn = fused_random.normal(key, self.shape)
        return drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)

    @property
    def mean(self) -> Array:
        """0, the centre."""
        return jnp.zeros(self.shape)

    @property
    def mode(self) -> Array:
        """The first axis: all points are equally probable."""
        return jnp.zeros(self.shape).at[..., 0].set(1)


@kl_divergence.register
def _(posterior: PowerSpherical, prior: Distribution) -> Array | None:
    if not isinstance(prior, UniformSphere):
        return None
    dimension = posterior.direction.shape[-1]
    return losses.kl_power_spherical_uniform(posterior.concentration, dimension)
