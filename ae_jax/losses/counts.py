"""Log-likelihoods of counts 0, 1, 2, …: Poisson and negative binomial."""

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from ae_jax.losses._observed import sum_over_observed

_LARGE = 8.0


def poisson_nll(
    x: chex.Array, log_rate: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Poisson negative log-likelihood, Σ [λ - x log λ + log x!], constants included, in nats.

    Args:
      x: counts, `[*event]`.
      log_rate: log λ, `[*event]`, finite values of exp(log_rate) needed: below 80 in float32.
      observed: bool `[*event]`, entries that count; None: all.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(poisson_nll(jnp.array([2]), jnp.zeros(1)))
    1.6931
    """

    def cost(count: jax.Array, log_lambda: jax.Array) -> jax.Array:
        return jnp.exp(log_lambda) - count * log_lambda + _log_factorial(count)

    return sum_over_observed(cost, observed, x, log_rate=log_rate)


def negative_binomial_nll(
    x: chex.Array,
    log_mean: chex.Array,
    log_dispersion: chex.Array,
    observed: chex.Array | None = None,
) -> jax.Array:
    """Negative binomial negative log-likelihood by mean m and dispersion α, in nats.

    With r = 1 / α it is -Σ [log Γ(x + r) - log Γ(r) - log x! + r log r/(r + m) + x log m/(r + m)];
    the variance is m + α m² (Hilbe, "Negative Binomial Regression", 2011: the NB2 form). As α
    falls to 0 it becomes the Poisson likelihood: from r = 8 on, where the difference of log-gamma
    functions would cancel, it is taken by Stirling's series.

    Args:
      x: counts, `[*event]`.
      log_mean: log m, `[*event]`, within ±40 in float32, as log_dispersion.
      log_dispersion: log α, `[*event]`.
      observed: bool `[*event]`, entries that count; None: all.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(negative_binomial_nll(jnp.array([1]), jnp.zeros(1), jnp.zeros(1)))
    1.3863
    """

    def cost(count: jax.Array, log_m: jax.Array, log_alpha: jax.Array) -> jax.Array:
        size = jnp.exp(-log_alpha)
        large = size > _LARGE
        log_odds = log_m + log_alpha  # log m/r
        poisson_like = (
            _rising_excess(count, jnp.where(large, size, _LARGE))
            + count * log_m
            - (count + size) * jax.nn.softplus(log_odds)
        )
        r = jnp.where(large, jnp.ones_like(size), size)
        direct = (
            gammaln(count + r)
            - gammaln(r)
            - count * jax.nn.softplus(-log_odds)
            - size * jax.nn.softplus(log_odds)
        )
        return _log_factorial(count) - jnp.where(large, poisson_like, direct)

    return sum_over_observed(cost, observed, x, log_mean=log_mean, log_dispersion=log_dispersion)


def _log_factorial(count: jax.Array) -> jax.Array:
    """`log x!`, exactly 0 for 0 and 1: gammaln is 5e-7 off there, and most counts are 0."""
    return jnp.where((count == 0) | (count == 1), jnp.zeros_like(count), gammaln(count + 1))


def _rising_excess(count: jax.Array, r: jax.Array) -> jax.Array:
    """The value of log Γ(x + r) - log Γ(r) - x log r for r ≥ 8, by Stirling's series."""
    return (count + r - 0.5) * jnp.log1p(count / r) - count + _stirling(count + r) - _stirling(r)


def _stirling(z: jax.Array) -> jax.Array:
    """What log Γ(z) exceeds (z - ½) log z - z + ½ log 2π by; to 2e-13 for z ≥ 8 (DLMF 5.11.1)."""
    w = 1 / jnp.square(z)
    return (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w / 1188)))) / z
