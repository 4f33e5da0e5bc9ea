"""What both likelihoods of counts share."""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax.likelihoods._checks import require_whole
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Array, PRNGKey

LOG_MEAN_BOUND = 30.0
LARGEST_RATE = 2.0**30


def bounded_log_mean(raw: Array) -> Array:
    """The log-mean: raw, kept smoothly within ±30; within 1e-6 of it below 16 (e¹⁶ = 9e6)."""
    return losses.bounded_log_var(*at_least_float32(raw), LOG_MEAN_BOUND)


def draw_poisson(key: PRNGKey, rate: Array) -> Array:
    """Poisson counts as floats; rates beyond 2³⁰ are drawn as 2³⁰, whose counts fit int32."""
    return jax.random.poisson(key, jnp.minimum(rate, LARGEST_RATE)).astype(rate.dtype)


def validate_counts(name: str, x: np.ndarray) -> None:
    """Raises DataError for the first value that is not a count."""
    require_whole(name, x, None, "pass counts as they are, with preprocessing.none()")
