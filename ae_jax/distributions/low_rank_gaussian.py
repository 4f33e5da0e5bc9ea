"""The Gaussian whose covariance is diagonal but for a few directions."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from ae_jax import losses
from ae_jax.distributions._kl import kl_divergence
from ae_jax.distributions.gaussian import DiagonalGaussian
from ae_jax.losses._precision import at_least_float32
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, Distribution, PRNGKey


class LowRankGaussian(NamedTuple):
    """N(loc, diag(exp(log_var)) + W Wᵀ) over vectors `[d]`.

    Attributes:
      loc: μ, `[d]`.
      log_var: `[d]`.
      factor: W, `[d, r]`.

    Example:
      >>> import jax.numpy as jnp
      >>> q = LowRankGaussian(jnp.zeros(2), jnp.zeros(2), jnp.zeros((2, 1)))
      >>> round(float(q.log_prob(jnp.zeros(2))), 4)  # -log 2π
      -1.8379
    """

    loc: Array
    log_var: Array
    factor: Array

    def log_prob(self, value: Array) -> Array:
        """Log N(v), scalar nats, by the inverse and determinant of I + Wᵀ D⁻¹ W, `[r, r]`."""
        value, loc, log_var, factor = at_least_float32(value, *self)
        precision = jnp.exp(-0.5 * log_var)
        white, slim = (value - loc) * precision, factor * precision[:, None]
        cholesky = _capacitance(slim)
        along = slim.T @ white
        distance = jnp.sum(jnp.square(white)) - jnp.dot(along, cho_solve((cholesky, True), along))
        log_det = jnp.sum(log_var) + 2 * jnp.sum(jnp.log(jnp.diagonal(cholesky)))
        return -0.5 * (distance + log_det + loc.shape[0] * math.log(2 * math.pi))

    def sample(self, key: PRNGKey) -> Array:
        """μ + σ ε + W η with ε, η ~ N(0, I), reparameterised."""
        size, rank = self.factor.shape
        noise = fused_random.normal(key, (size + rank,), self.loc.dtype)
        return self.loc + jnp.exp(0.5 * self.log_var) * noise[:size] + self.factor @ noise[size:]

    @property
    def mean(self) -> Array:
        """μ."""
        return self.loc

    @property
    def mode(self) -> Array:
        """μ."""
        return self.loc


def _capacitance(slim: Array) -> Array:
    """The Cholesky factor of I + SᵀS."""
    return jnp.linalg.cholesky(jnp.eye(slim.shape[1], dtype=slim.dtype) + slim.T @ slim)


@kl_divergence.register
def _(posterior: LowRankGaussian, prior: Distribution) -> Array | None:
    if not isinstance(prior, DiagonalGaussian):
        return None
    diagonal = posterior.loc, posterior.log_var
    slim = posterior.factor * jnp.exp(-0.5 * posterior.log_var)[:, None]
    log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(_capacitance(slim))))
    trace = jnp.sum(jnp.square(posterior.factor) * jnp.exp(-prior.log_var)[:, None])
    return losses.kl_diagonal_gaussians(*diagonal, *prior) + 0.5 * (trace - log_det)
