"""The Laplace distribution with independent entries."""

from typing import NamedTuple

import jax.numpy as jnp

from ae_jax import losses
from ae_jax.distributions._kl import kl_divergence
from ae_jax.distributions.gaussian import DiagonalGaussian
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, Distribution, PRNGKey


class Laplace(NamedTuple):
    """Laplace(loc, exp(log_scale)), both of the event's shape.

    Example:
      >>> import jax.numpy as jnp
      >>> round(float(Laplace(jnp.zeros(1), jnp.zeros(1)).log_prob(jnp.zeros(1))), 4)  # -log 2
      -0.6931
    """

    loc: Array
    log_scale: Array

    def log_prob(self, value: Array) -> Array:
        """-Σ [|v - μ| / b + log b + log 2], scalar nats."""
        return -losses.laplace_nll(value, self.loc, self.log_scale)

    def sample(self, key: PRNGKey) -> Array:
        """μ - b sgn(u) log(1 - 2|u|) with u uniform on (-½, ½), reparameterised."""
        least = jnp.finfo(self.loc.dtype).eps
        u = fused_random.uniform(key, self.loc.shape, self.loc.dtype, least - 1, 1)  # 2u
        size = jnp.sign(u) * jnp.log1p(-jnp.abs(u))
        return self.loc - jnp.exp(self.log_scale) * size

    @property
    def mean(self) -> Array:
        """μ."""
        return self.loc

    @property
    def mode(self) -> Array:
        """μ."""
        return self.loc


@kl_divergence.register
def _(posterior: Laplace, prior: Distribution) -> Array | None:
    if isinstance(prior, Laplace):
        return losses.kl_laplaces(*posterior, *prior)
    if isinstance(prior, DiagonalGaussian):
        return losses.kl_laplace_gaussian(*posterior, *prior)
    return None
