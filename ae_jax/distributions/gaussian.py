"""The Gaussian with independent entries."""

from typing import NamedTuple

import jax.numpy as jnp

from ae_jax import losses
from ae_jax.distributions._kl import kl_divergence
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, Distribution, PRNGKey


class DiagonalGaussian(NamedTuple):
    """N(loc, diag(exp(log_var))), both of the event's shape."""

    loc: Array
    log_var: Array

    def log_prob(self, value: Array) -> Array:
        """-½ Σ [(v - μ)² / σ² + log σ² + log 2π], scalar nats."""
        return -losses.gaussian_nll(value, self.loc, self.log_var)

    def sample(self, key: PRNGKey) -> Array:
        """μ + σ ε with ε ~ N(0, I): reparameterised (Kingma & Welling 2014)."""
        noise = fused_random.normal(key, self.loc.shape, self.loc.dtype)
        return self.loc + jnp.exp(0.5 * self.log_var) * noise

    @property
    def mean(self) -> Array:
        """μ."""
        return self.loc

    @property
    def mode(self) -> Array:
        """μ."""
        return self.loc


def standard_normal(shape: tuple[int, ...]) -> DiagonalGaussian:
    """N(0, I) over `shape`."""
    return DiagonalGaussian(jnp.zeros(shape), jnp.zeros(shape))


@kl_divergence.register
def _(posterior: DiagonalGaussian, prior: Distribution) -> Array | None:
    if not isinstance(prior, DiagonalGaussian):
        return None
    return losses.kl_diagonal_gaussians(posterior.loc, posterior.log_var, prior.loc, prior.log_var)
