"""The Laplace log-density."""

import math

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_same_shape
from ae_jax.losses._absolute import absolute
from ae_jax.losses._observed import sum_over_observed
from ae_jax.losses._precision import at_least_float32


def laplace_nll(
    x: chex.Array, location: chex.Array, log_scale: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Laplace negative log-likelihood, Σ [|x - μ| / b + log b + log 2], in nats.

    Its gradient is zero where x = μ.

    Args:
      x: `[*event]`.
      location: μ, the median and mean, `[*event]`.
      log_scale: log b, the mean absolute deviation's logarithm, `[*event]`, finite values of
        exp(-log_scale) needed: within ±80 in float32.
      observed: bool `[*event]`, entries that count; None: all.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(laplace_nll(jnp.array([3.0]), jnp.array([1.0]), jnp.zeros(1)))
    2.6931
    """

    def cost(target: jax.Array, centre: jax.Array, log_b: jax.Array) -> jax.Array:
        return absolute(target - centre) * jnp.exp(-log_b) + log_b + math.log(2)

    return sum_over_observed(cost, observed, x, location=location, log_scale=log_scale)


def kl_laplaces(
    location_q: chex.Array, log_scale_q: chex.Array, location_p: chex.Array, log_scale_p: chex.Array
) -> jax.Array:
    """KL(Laplace(μ_q, b_q) ‖ Laplace(μ_p, b_p)), summed over latent dimensions, in nats.

    With Δ = log b_q - log b_p and t = |μ_q - μ_p| / b_q it is Σ [e^Δ (t + e^{-t}) - 1 - Δ], here as
    Σ [(e^Δ - 1 - Δ) + e^Δ (t + e^{-t} - 1)], whose summands are never negative.

    Args:
      location_q: μ_q, `[*latent]`.
      log_scale_q: log b_q, `[*latent]`.
      location_p: μ_p, `[*latent]`.
      log_scale_p: log b_p, `[*latent]`.

    Returns:
      The divergence, a scalar.

    Raises:
      ShapeError: if the shapes differ.

    >>> one = jnp.ones(1)
    >>> round(float(kl_laplaces(one, 0 * one, 0 * one, 0 * one)), 4)  # 1/e
    0.3679
    """
    require_same_shape(
        location_q=location_q,
        log_scale_q=log_scale_q,
        location_p=location_p,
        log_scale_p=log_scale_p,
    )
    location_q, log_scale_q, location_p, log_scale_p = at_least_float32(
        location_q, log_scale_q, location_p, log_scale_p
    )
    wider = log_scale_q - log_scale_p
    apart = absolute(location_q - location_p) * jnp.exp(-log_scale_q)
    return jnp.sum(jnp.expm1(wider) - wider + jnp.exp(wider) * (apart + jnp.expm1(-apart)))


def kl_laplace_gaussian(
    location: chex.Array, log_scale: chex.Array, mean: chex.Array, log_var: chex.Array
) -> jax.Array:
    """KL(Laplace(μ, b) ‖ N(m, σ²)), summed over latent dimensions, in nats.

    Σ [½ (2b² + (μ - m)²) / σ² - log 2b - 1 + ½ log 2πσ²]; its least value, at b² = σ²/2, is
    ½ log(π/e) = 0.0724 an entry.

    Args:
      location: μ, `[*latent]`.
      log_scale: log b, `[*latent]`.
      mean: m, `[*latent]`.
      log_var: log σ², `[*latent]`.

    Returns:
      The divergence, a scalar.

    Raises:
      ShapeError: if the shapes differ.

    >>> zero = jnp.zeros(1)
    >>> round(float(kl_laplace_gaussian(zero, zero - 0.5 * math.log(2), zero, zero)), 4)
    0.0724
    """
    require_same_shape(location=location, log_scale=log_scale, mean=mean, log_var=log_var)
    location, log_scale, mean, log_var = at_least_float32(location, log_scale, mean, log_var)
    wider = math.log(2) + 2 * log_scale - log_var  # of the two variances
    apart = jnp.square(location - mean) * jnp.exp(-log_var)
    least = math.log(math.pi) - 1
    return 0.5 * jnp.sum(jnp.expm1(wider) - wider + apart + least)
