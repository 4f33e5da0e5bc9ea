"""Overdispersed counts, from log-means and log-dispersions."""

import functools

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.likelihoods._counts import bounded_log_mean, draw_poisson, validate_counts
from ae_jax.losses._precision import at_least_float32
from ae_jax.registry import LIKELIHOODS
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def negative_binomial() -> Likelihood:
    """Log p(x | z) of counts with mean m and variance m + α m², α the dispersion.

    log p = Σ [log Γ(x + r) - log Γ(r) - log x! + r log r/(r + m) + x log m/(r + m)] with r = 1/α
    (Hilbe, "Negative Binomial Regression", 2011: the NB2 form). It is a Poisson whose rate is
    gamma-distributed, and the Poisson likelihood where α is small. The decoder emits log m and
    log α side by side on a doubled last axis; they are kept smoothly within ±30 and ±20. Data are
    counts 0, 1, 2, … as they are, which float32 holds up to 2²⁴: use `preprocessing.none()`. The
    mode is ⌊m (1 - α)⌋, 0 for α ≥ 1.
    """

    def split(y):
        log_mean, log_dispersion = jnp.split(at_least_float32(y)[0], 2, axis=-1)
        return bounded_log_mean(log_mean), losses.bounded_log_var(log_dispersion)

    def log_prob(params, y, x, observed):
        return -losses.negative_binomial_nll(x, *split(y), observed)

    def mode(params, y):
        log_mean, log_dispersion = split(y)
        return jnp.floor(jnp.exp(log_mean) * jnp.maximum(-jnp.expm1(log_dispersion), 0))

    def sample(params, y, key):
        log_mean, log_dispersion = split(y)
        gamma_key, poisson_key = jax.random.split(key)
        # In logarithms: gamma draws of a small shape 1/α would underflow.
        log_gamma = jax.random.loggamma(gamma_key, jnp.exp(-log_dispersion))
        return draw_poisson(poisson_key, jnp.exp(log_gamma + log_dispersion + log_mean))

    return Likelihood(
        parameter_shape=lambda event_shape: (*event_shape[:-1], 2 * event_shape[-1]),
        init=lambda key: {},
        log_prob=log_prob,
        mean=lambda params, y: jnp.exp(split(y)[0]),
        mode=mode,
        sample=sample,
        validate=functools.partial(validate_counts, "negative_binomial"),
    )
