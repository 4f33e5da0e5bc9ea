"""The wrapped normal distribution on the Poincaré ball, and the ball's geometry."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.errors import ConfigError
from ae_jax.losses._precision import at_least_float32
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, PRNGKey

MARGIN = 1e-5
"""How near to the ball's edge, as a part of its radius, a point may come in float32."""


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["loc", "log_scale"], meta_fields=["curvature"]
)
@dataclasses.dataclass(frozen=True)
class WrappedNormal:
    """N(0, diag σ²) in the tangent space of μ, wrapped onto the ball of curvature -c.

    z = exp_μ(v / λ_μ) with v ~ N(0, diag σ²), so that ‖v‖ is the distance from μ to z (Nagano et
    al. 2019; Mathieu et al. 2019). The ball has the radius 1/√c. Densities are with respect to
    ordinary volume, as those of all distributions over vectors here; that with respect to the
    ball's own volume is λ_z^{-d} times as large.

    Attributes:
      loc: μ, a point of the ball, `[d]`.
      log_scale: log σ, `[d]`.
      curvature: c > 0.

    Example:
      >>> import jax.numpy as jnp
      >>> q = WrappedNormal(jnp.zeros(2), jnp.zeros(2), 1.0)
      >>> round(float(q.log_prob(jnp.zeros(2))), 4)  # -log 2π + 2 log 2
      -0.4516
    """

    loc: Array
    log_scale: Array
    curvature: float

    def log_prob(self, value: Array) -> Array:
        """Log N(v; 0, diag σ²) - (d - 1) log[sinh(√c r) / √c r] + d log λ_z, r = ‖v‖; nats."""
        value, loc = at_least_float32(value, self.loc)
        step, c = mobius_add(-loc, value, self.curvature), self.curvature
        room = (1 - c * jnp.sum(jnp.square(loc))) * (1 - c * jnp.sum(jnp.square(value)))
        apart = c * jnp.sum(jnp.square(value - loc))
        least = 4 * MARGIN**2  # of points at the edge
        half = jnp.arcsinh(jnp.sqrt((apart + 1e-30) / jnp.maximum(room, least)))
        return self._log_density(step * (2 * half / (math.sqrt(c) * _norm(step))), value)

    def sample(self, key: PRNGKey) -> Array:
        """Exp_μ(v / λ_μ), reparameterised."""
        return self._wrapped(self._tangent(key))

    def sample_and_log_prob(self, key: PRNGKey) -> tuple[Array, Array]:
        """The same draw and its log-density, from v as it was drawn."""
        v = self._tangent(key)
        z = self._wrapped(v)
        return z, self._log_density(v, z)

    @property
    def mean(self) -> Array:
        """μ, the Fréchet mean: the point whose expected squared distance is least."""
        return self.loc

    @property
    def mode(self) -> Array:
        """μ, where the density with respect to the ball's own volume is greatest."""
        return self.loc

    def _tangent(self, key: PRNGKey) -> Array:
        noise = fused_random.normal(key, self.loc.shape, self.loc.dtype)
        return jnp.exp(self.log_scale) * noise

    def _wrapped(self, v: Array) -> Array:
        return mobius_add(self.loc, from_origin(v, self.curvature), self.curvature)

    def _log_density(self, v: Array, z: Array) -> Array:
        size = z.shape[0]
        flat = -losses.gaussian_nll(v, jnp.zeros_like(v), 2 * self.log_scale)
        spread = (size - 1) * _log_sinh_ratio(math.sqrt(self.curvature) * _norm(v))
        room = 1 - self.curvature * jnp.sum(jnp.square(z))
        least = 2 * MARGIN  # at the edge: 1 - (1 - MARGIN)²
        return flat - spread + size * (math.log(2) - jnp.log(jnp.maximum(room, least)))


def require_room(size: int, curvature: float) -> None:
    """Raises ConfigError where a standard normal's draws reach what float32 holds for the edge."""
    reach = math.sqrt(size) + 4
    most = (2 * math.atanh(1 - MARGIN) / reach) ** 2
    if curvature > most:
        raise ConfigError(
            f"curvature={curvature:g} in {size} dimensions puts the prior's draws, {reach:.3g} "
            f"from the origin, at the edge of what float32 can hold: take at most {most:.3g}"
        )


def from_origin(v: Array, curvature: float) -> Array:
    """The point of the ball at distance ‖v‖ from the origin in the direction of v, `[d]`.

    >>> import jax.numpy as jnp
    >>> [round(float(z), 4) for z in from_origin(jnp.array([2.0, 0.0]), 1.0)]  # tanh 1
    [0.7616, 0.0]
    """
    length, root = _norm(v), math.sqrt(curvature)
    reach = jnp.minimum(jnp.tanh(0.5 * root * length), 1 - MARGIN)
    return v * (reach / (root * length))


def mobius_add(x: Array, y: Array, curvature: float) -> Array:
    """X ⊕ y: what translates the origin to x moves y to, `[d]` (Ungar 2008).

    >>> import jax.numpy as jnp
    >>> mobius_add(jnp.array([0.5]), jnp.array([0.5]), 1.0).tolist()
    [0.8]
    """
    # Sums of terms of one sign, unlike the usual form, which cancels at the edge.
    together, c = x + y, curvature
    far = c * jnp.sum(jnp.square(together))
    room = 1 - c * jnp.sum(jnp.square(x))
    divisor = room * (1 - c * jnp.sum(jnp.square(y))) + far
    return _kept((room * together + far * x) / jnp.maximum(divisor, 4 * MARGIN**2), c)


def _kept(z: Array, curvature: float) -> Array:
    """Z, drawn back from the edge if rounding put it there."""
    length, most = _norm(z), (1 - MARGIN) / math.sqrt(curvature)
    return jnp.where(length > most, z * (most / length), z)


def _norm(v: Array) -> Array:
    """‖v‖ with a finite gradient at 0, where it is tiny instead."""
    return jnp.sqrt(jnp.sum(jnp.square(v)) + 1e-30)


def _log_sinh_ratio(x: Array) -> Array:
    """Log[sinh(x) / x] for x ≥ 0."""
    near = x < 0.3
    small, large = jnp.where(near, x, 0), jnp.where(near, 1, x)
    square = jnp.square(small)
    series = square * (1 / 6 - square * (1 / 180 - square * (1 / 2835 - square / 37800)))
    return jnp.where(near, series, large + jnp.log1p(-jnp.exp(-2 * large)) - jnp.log(2 * large))
