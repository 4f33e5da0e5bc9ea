"""Poisson counts, from log-rates."""

import functools

import jax.numpy as jnp

from ae_jax import losses
from ae_jax.likelihoods._counts import bounded_log_mean, draw_poisson, validate_counts
from ae_jax.registry import LIKELIHOODS
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def poisson() -> Likelihood:
    """Log p(x | z) = Σ [x log λ - λ - log x!], with log-rates log λ from the decoder.

    The decoder emits the event's shape; log λ is its output, kept smoothly within ±30, so that
    values and gradients stay finite. Data are counts 0, 1, 2, … as they are, which float32 holds
    up to 2²⁴: use `preprocessing.none()`. The mean is λ, the mode ⌊λ⌋; samples of rates above 2¹⁸
    are rounded normal ones.

    Example:
      >>> import jax.numpy as jnp
      >>> import ae_jax as ae
      >>> float(ae.likelihoods.poisson().log_prob({}, jnp.zeros(1), jnp.array([2.0]), None))
      -1.6931
    """

    def log_prob(params, y, x, observed):
        return -losses.poisson_nll(x, bounded_log_mean(y), observed)

    return Likelihood(
        parameter_shape=lambda event_shape: event_shape,
        init=lambda key: {},
        log_prob=log_prob,
        mean=lambda params, y: jnp.exp(bounded_log_mean(y)),
        mode=lambda params, y: jnp.floor(jnp.exp(bounded_log_mean(y))),
        sample=lambda params, y, key: draw_poisson(key, jnp.exp(bounded_log_mean(y))),
        validate=functools.partial(validate_counts, "poisson"),
    )
