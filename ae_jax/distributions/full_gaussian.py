"""The Gaussian with a full covariance."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from ae_jax import losses
from ae_jax.distributions._kl import kl_divergence
from ae_jax.distributions.gaussian import DiagonalGaussian
from ae_jax.losses._precision import at_least_float32
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, Distribution, PRNGKey


class FullGaussian(NamedTuple):
    """N(loc, L Lᵀ) over vectors `[d]`.

    Attributes:
      loc: μ, `[d]`.
      scale: L, `[d, d]`, lower triangular with a positive diagonal.

    Example:
      >>> import jax.numpy as jnp
      >>> q = FullGaussian(jnp.zeros(2), jnp.eye(2))
      >>> round(float(q.log_prob(jnp.zeros(2))), 4)  # -log 2π
      -1.8379
    """

    loc: Array
    scale: Array

    def log_prob(self, value: Array) -> Array:
        """-½ [‖L⁻¹ (v - μ)‖² + d log 2π] - log |L|, scalar nats."""
        value, loc, scale = at_least_float32(value, self.loc, self.scale)
        white = solve_triangular(scale, value - loc, lower=True)
        constant = 0.5 * loc.shape[0] * math.log(2 * math.pi)
        log_volume = jnp.sum(jnp.log(jnp.diagonal(scale)))
        return -0.5 * jnp.sum(jnp.square(white)) - log_volume - constant

    def sample(self, key: PRNGKey) -> Array:
        """μ + L ε with ε ~ N(0, I), reparameterised."""
        noise = fused_random.normal(key, self.loc.shape, self.loc.dtype)
        return self.loc + self.scale @ noise

    @property
    def mean(self) -> Array:
        """μ."""
        return self.loc

    @property
    def mode(self) -> Array:
        """μ."""
        return self.loc


@kl_divergence.register
def _(posterior: FullGaussian, prior: Distribution) -> Array | None:
    if isinstance(prior, DiagonalGaussian):
        prior = FullGaussian(prior.loc, jnp.diag(jnp.exp(0.5 * prior.log_var)))
    if not isinstance(prior, FullGaussian):
        return None
    return losses.kl_gaussians(posterior.loc, posterior.scale, prior.loc, prior.scale)
