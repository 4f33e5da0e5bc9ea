"""Gaussian observations with fixed, learned or predicted variance."""

import math

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.errors import ConfigError, nearest, require_positive
from ae_jax.registry import LIKELIHOODS
from ae_jax.types import Likelihood

STRETCH = 10.0


def _fixed(scale):
    log_var = 2 * math.log(scale)
    return lambda key: {}, lambda params, y: (y, jnp.full_like(y, log_var)), 1


def _global(scale):
    # Adam moves a parameter by its learning rate a step, whatever the gradient: stretched, so that
    # one number keeps up with the networks.
    def split(params, y):
        raw = 2 * math.log(scale) + STRETCH * params["shift"]
        return y, jnp.full_like(y, losses.bounded_log_var(raw))

    return lambda key: {"shift": jnp.zeros(())}, split, 1


def _predicted(scale):
    def split(params, y):
        mean, raw = jnp.split(y, 2, axis=-1)
        return mean, losses.bounded_log_var(raw + 2 * math.log(scale))

    return lambda key: {}, split, 2


VARIANCES = {"fixed": _fixed, "global": _global, "predicted": _predicted}


@LIKELIHOODS.register
def gaussian(variance: str = "fixed", scale: float = 1.0) -> Likelihood:
    """Log p(x | z) = -½ Σ [(x - μ)² / σ² + log σ² + log 2π], constants included.

    Args:
      variance: "fixed" (σ = scale), "global" (one learned σ, started at scale:
        log σ² = 2 log scale + 10 · shift, with shift the parameter) or "predicted" (the
        decoder emits μ and the raw log σ² side by side on the last axis, started around scale).
      scale: the standard deviation σ, in the data's units.

    Returns:
      A Likelihood; the decoder emits the event's shape, its last axis doubled for "predicted".

    Raises:
      ConfigError: an unknown variance, or a scale that is not above zero.
    """
    require_positive(scale=scale)
    if variance not in VARIANCES:
        raise ConfigError(f"variance cannot be {variance!r}{nearest(variance, VARIANCES)}")
    init, split, width = VARIANCES[variance](scale)

    def parameter_shape(event_shape):
        return (*event_shape[:-1], width * event_shape[-1]) if width > 1 else event_shape

    def log_prob(params, y, x, observed):
        mean, log_var = split(params, y)
        return -losses.gaussian_nll(x, mean, log_var, observed)

    def sample(params, y, key):
        mean, log_var = split(params, y)
        return mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape, mean.dtype)

    return Likelihood(
        parameter_shape=parameter_shape,
        init=init,
        log_prob=log_prob,
        mean=lambda params, y: split(params, y)[0],
        mode=lambda params, y: split(params, y)[0],
        sample=sample,
        validate=lambda x: None,
    )
