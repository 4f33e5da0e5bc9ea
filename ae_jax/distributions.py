"""Posteriors and priors as pytrees over one event; log-probabilities in nats."""

import functools
from typing import NamedTuple

import jax.numpy as jnp

from ae_jax import losses
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


class Deterministic(NamedTuple):
    """A point mass: it has no density, so `log_prob` is None."""

    value: Array

    def log_prob(self, value: Array) -> None:
        """None."""
        del value

    def sample(self, key: PRNGKey) -> Array:
        """The point."""
        del key
        return self.value

    @property
    def mean(self) -> Array:
        """The point."""
        return self.value

    @property
    def mode(self) -> Array:
        """The point."""
        return self.value


def standard_normal(shape: tuple[int, ...]) -> DiagonalGaussian:
    """N(0, I) over `shape`."""
    return DiagonalGaussian(jnp.zeros(shape), jnp.zeros(shape))


@functools.singledispatch
def kl_divergence(posterior: Distribution, prior: Distribution) -> Array | None:
    """KL(posterior ‖ prior) in closed form, scalar nats; None where no closed form is known.

    Register another pair's by its posterior: `kl_divergence.register`.

    Args:
      posterior: a Distribution over one event.
      prior: another over the same.
    """
    del posterior, prior
    return None


@kl_divergence.register
def _(posterior: DiagonalGaussian, prior: Distribution) -> Array | None:
    if not isinstance(prior, DiagonalGaussian):
        return None
    return losses.kl_diagonal_gaussians(posterior.loc, posterior.log_var, prior.loc, prior.log_var)
