"""Log-likelihoods of counts 0, 1, 2, …: Poisson, negative binomial, zero-inflated."""

import functools
import math

import chex
import jax
import jax.numpy as jnp

from ae_jax.losses._observed import sum_over_observed
from ae_jax.losses._saddle_point import deviance, digamma_error, stirling_error


def poisson_nll(
    x: chex.Array, log_rate: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Poisson negative log-likelihood, Σ [λ - x log λ + log x!], constants included, in nats.

    Values and gradients keep the precision of their dtype for counts up to 1e8: the sum is taken by
    Loader's saddle-point form ("Fast and accurate computation of binomial probabilities", 2000).

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
    return sum_over_observed(_poisson, observed, x, log_rate=log_rate)


def negative_binomial_nll(
    x: chex.Array,
    log_mean: chex.Array,
    log_dispersion: chex.Array,
    observed: chex.Array | None = None,
) -> jax.Array:
    """Negative binomial negative log-likelihood by mean m and dispersion α, in nats.

    With r = 1 / α it is -Σ [log Γ(x + r) - log Γ(r) - log x! + r log r/(r + m) + x log m/(r + m)];
    the variance is m + α m² (Hilbe, "Negative Binomial Regression", 2011: the NB2 form). As α
    falls to 0 it becomes the Poisson likelihood. Values and gradients keep the precision of their
    dtype for counts up to 1e8: they are taken by Loader's saddle-point form.

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
        counted = -_negative_binomial(count, log_m, log_alpha)
        inflated = _log_inflated(counted, logit)
        return jnp.where(count == 0, inflated, counted - jax.nn.softplus(logit))

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


@jax.custom_jvp
def _poisson(count: jax.Array, log_rate: jax.Array) -> jax.Array:
    """The cost of a count by its saddle point; the gradient is the rate less the count."""
    rate, some = jnp.exp(log_rate), _positive(count)
    of_some = some * deviance((rate - some) / some, log_rate - jnp.log(some)) + _log_width(some)
    return jnp.where(count == 0, rate, of_some)


@functools.partial(_poisson.defjvp, symbolic_zeros=True)
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    count, log_rate = primals
    slopes = (
        lambda: jax.lax.digamma(count + 1) - log_rate,
        lambda: jnp.exp(log_rate) - count,
    )
    return _poisson(*primals), _tangent(slopes, tangents, count)


@jax.custom_jvp
def _negative_binomial(count: jax.Array, log_m: jax.Array, log_alpha: jax.Array) -> jax.Array:
    """The cost of a count by its saddle point, with gradients whose terms do not cancel."""
    m, r, some = jnp.exp(log_m), jnp.exp(-log_alpha), _positive(count)
    n = some + r
    excess = (m - some) / some * jax.nn.sigmoid(-log_m - log_alpha)
    log_ratio = log_m - jnp.log(some) + jnp.log(n / (r + m))
    of_some = (
        _size_deviance(some, m, r)
        + some * deviance(excess, log_ratio)
        + _log_width(some)
        + stirling_error(r)
        - stirling_error(n)
        + 0.5 * jnp.log1p(some / r)
    )
    of_none = r * jax.nn.softplus(log_m + log_alpha)
    return jnp.where(count == 0, of_none, of_some)


@functools.partial(_negative_binomial.defjvp, symbolic_zeros=True)
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    count, log_m, log_alpha = primals
    m, r, log_odds = jnp.exp(log_m), jnp.exp(-log_alpha), log_m + log_alpha
    n = count + r

    def by_log_alpha() -> jax.Array:
        # r (ψ(n) - ψ(r) - log n/r) without its large parts
        gammas = 0.5 * count / n + r * (digamma_error(n) - digamma_error(r))
        return gammas - _size_deviance(count, m, r)

    slopes = (
        lambda: jax.lax.digamma(count + 1) - jax.lax.digamma(n) + jax.nn.softplus(-log_odds),
        lambda: (m - count) * jax.nn.sigmoid(-log_odds),
        by_log_alpha,
    )
    return _negative_binomial(*primals), _tangent(slopes, tangents, count)


def _size_deviance(count: jax.Array, m: jax.Array, r: jax.Array) -> jax.Array:
    """The deviance of the size r from r (x + r) / (m + r)."""
    return r * deviance((count - m) / (r + m), jnp.log((count + r) / (r + m)))


def _log_width(count: jax.Array) -> jax.Array:
    """The logarithm of x! e^x / x^x."""
    return stirling_error(count) + 0.5 * jnp.log(2 * math.pi * count)


def _positive(count: jax.Array) -> jax.Array:
    return jnp.where(count == 0, jnp.ones_like(count), count)


def _tangent(slopes: tuple, tangents: tuple, like: jax.Array) -> jax.Array:
    """Σ slope · tangent, of which only those with a tangent are computed."""
    moved = [
        slope() * tangent
        for slope, tangent in zip(slopes, tangents, strict=True)
        if not isinstance(tangent, jax.custom_derivatives.SymbolicZero)
    ]
    return sum(moved, start=jnp.zeros_like(like))
