"""Student's t log-density, for data with outliers."""

import math

import chex
import jax
import jax.numpy as jnp

from ae_jax.losses._observed import sum_over_observed
from ae_jax.losses._saddle_point import deviance, digamma_error, stirling_error


def student_t_nll(
    x: chex.Array,
    location: chex.Array,
    log_scale: chex.Array,
    log_degrees: chex.Array,
    observed: chex.Array | None = None,
) -> jax.Array:
    """Student's t negative log-likelihood by location μ, scale σ and degrees of freedom ν, in nats.

    With z = (x - μ) / σ it is

        Σ [log Γ(ν/2) - log Γ((ν + 1)/2) + ½ log πν + log σ + ½ (ν + 1) log(1 + z²/ν)]

    an error costs no more than ν + 1 times the logarithm of its size, and its gradient falls off
    beyond √ν. ν = 1 is the Cauchy density; as ν rises it becomes the Gaussian one of deviation σ,
    and value and gradients keep their digits on the way. The variance is σ² ν/(ν - 2) for ν > 2,
    the mean exists for ν > 1.

    Args:
      x: `[*event]`.
      location: μ, the median and mode, `[*event]`.
      log_scale: log σ, `[*event]`.
      log_degrees: log ν, `[*event]`, within ±20 in float32, where second derivatives are finite for
        |z| below 1e9 √ν.
      observed: bool `[*event]`, entries that count; None: all.

    Returns:
      The loss, a scalar.

    Raises:
      ShapeError: if the shapes differ.
      ConfigError: if `observed` is not boolean.

    References:
      Lange, Little & Taylor, "Robust statistical modeling using the t distribution", 1989.

    >>> one = jnp.zeros(1)
    >>> round(float(student_t_nll(one, one, one, one)), 4)  # log π, of the Cauchy density
    1.1447
    """

    def cost(target: jax.Array, centre: jax.Array, log_sigma: jax.Array, log_nu: jax.Array):
        return _standard((target - centre) * jnp.exp(-log_sigma), log_nu) + log_sigma

    return sum_over_observed(
        cost, observed, x, location=location, log_scale=log_scale, log_degrees=log_degrees
    )


@jax.custom_jvp
def _standard(z: jax.Array, log_degrees: jax.Array) -> jax.Array:
    """The cost of one standardised error; log Γ((ν + 1)/2) - log Γ(ν/2) without its large parts."""
    nu = jnp.exp(log_degrees)
    gammas = 0.5 * nu * deviance(1 / nu, jnp.log1p(1 / nu))
    gammas += stirling_error(0.5 * nu) - stirling_error(0.5 * nu + 0.5)
    return gammas + 0.5 * math.log(2 * math.pi) + 0.5 * (nu + 1) * jnp.log1p(jnp.square(z) / nu)


@_standard.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    z, log_degrees = primals
    nu = jnp.exp(log_degrees)
    excess = jnp.square(z) / nu
    share = excess / (1 + excess)
    by_z = (1 + 1 / nu) * z / (1 + excess)
    # Of ½ ν [ψ(ν/2) - ψ((ν + 1)/2) + log(1 + z²/ν) + 1/ν - (1 + 1/ν) z²/(ν + z²)] what is left
    # when the logarithms' leading parts have cancelled.
    by_log_degrees = 0.5 * (
        nu * deviance(1 / nu, jnp.log1p(1 / nu))
        - 1 / (nu + 1)
        + nu * (digamma_error(0.5 * nu) - digamma_error(0.5 * nu + 0.5))
        + nu * deviance(-share, -jnp.log1p(excess))
        - share
    )
    return _standard(z, log_degrees), by_z * tangents[0] + by_log_degrees * tangents[1]
