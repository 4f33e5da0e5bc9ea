"""Log-likelihoods of counts 0, 1, 2, …: Poisson, negative binomial, zero-inflated."""

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
    return sum_over_observed(
        _negative_binomial, observed, x, log_mean=log_mean, log_dispersion=log_dispersion
    )


def zero_inflated_negative_binomial(
    log_mean: chex.Array,
    log_dispersion: chex.Array,
    dropout_logits: chex.Array,
    x: chex.Array,
    observed: chex.Array | None = None,
) -> jax.Array:
    """Zero-inflated negative binomial log-likelihood, in nats: to be maximised.

    A count is 0 with probability π = σ(dropout_logits), whatever else, and otherwise negative
    binomial of mean m and dispersion α as in `negative_binomial_nll`:

        Σ log [π·1(x = 0) + (1 - π) NB(x; m, α)]

    The mean is (1 - π) m. As dropout_logits fall it becomes the negative binomial.

    Args:
      log_mean: log m, `[*event]`, within ±40 in float32, as log_dispersion.
      log_dispersion: log α, `[*event]`; α is one over the "inverse dispersion" θ of the paper.
      dropout_logits: log π/(1 - π), `[*event]`, any finite values.
      x: counts, `[*event]`.
      observed: bool `[*event]`, entries that count; None: all.

    Returns:
      The log-likelihood, a scalar.

    Raises:
      ShapeError: if the shapes differ.
      ConfigError: if `observed` is not boolean.

    References:
      Lopez et al., "Deep generative modeling for single-cell transcriptomics", 2018.

    >>> even = jnp.zeros(1)  # π = ½, m = α = 1: NB(0) = ½
    >>> round(float(zero_inflated_negative_binomial(even, even, even, jnp.zeros(1))), 4)  # log ¾
    -0.2877
    """

    def log_prob(
        count: jax.Array, log_m: jax.Array, log_alpha: jax.Array, logit: jax.Array
    ) -> jax.Array:
        some = -_negative_binomial(count, log_m, log_alpha) - jax.nn.softplus(logit)
        log_none = -jnp.exp(-log_alpha) * jax.nn.softplus(log_m + log_alpha)  # log NB(0)
        return jnp.where(count == 0, _log_inflated(log_none, logit), some)

    return sum_over_observed(
        log_prob,
        observed,
        x,
        log_mean=log_mean,
        log_dispersion=log_dispersion,
        dropout_logits=dropout_logits,
    )


def _log_inflated(log_prob: jax.Array, logit: jax.Array) -> jax.Array:
    """Log [σ(logit) + σ(-logit) exp(log_prob)], exact also where it is all but 0."""
    missing = -jnp.expm1(log_prob) * jax.nn.sigmoid(-logit)  # one less the probability
    little = missing < 0.5
    far = jnp.logaddexp(-jax.nn.softplus(-logit), log_prob - jax.nn.softplus(logit))
    return jnp.where(little, jnp.log1p(-jnp.where(little, missing, 0.0)), far)


def _negative_binomial(count: jax.Array, log_m: jax.Array, log_alpha: jax.Array) -> jax.Array:
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
