"""What both likelihoods of counts share."""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax.likelihoods._checks import require_whole
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Array, PRNGKey

LOG_MEAN_BOUND = 30.0
LARGE_RATE = 2.0**18


def bounded_log_mean(raw: Array) -> Array:
    """The log-mean: raw, kept smoothly within ±30; within 1e-6 of it below 16 (e¹⁶ = 9e6)."""
    return losses.bounded_log_var(at_least_float32(raw)[0], LOG_MEAN_BOUND)


def draw_poisson(key: PRNGKey, rate: Array) -> Array:
    """Poisson counts as floats; for rates above 2¹⁸, normal ones rounded.

    There JAX's sampler loses its accuracy in float32 (a deviation 20% too wide at rates of 1e8) and
    then its range in int32, while the normal approximation is off by a skewness below 0.002.
    """
    exact_key, normal_key = jax.random.split(key)
    exact = jax.random.poisson(exact_key, jnp.minimum(rate, LARGE_RATE)).astype(rate.dtype)
    noise = jax.random.normal(normal_key, rate.shape, rate.dtype)
    return jnp.where(rate > LARGE_RATE, jnp.round(rate + jnp.sqrt(rate) * noise), exact)


def validate_counts(name: str, x: np.ndarray) -> None:
    """Raises DataError for the first value that is not a count."""
    require_whole(name, x, None, "pass counts as they are, with preprocessing.none()")
