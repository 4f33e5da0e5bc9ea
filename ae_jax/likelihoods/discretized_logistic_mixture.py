"""Grey levels under a mixture of discretised logistics."""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError
from ae_jax.likelihoods._checks import require, require_range
from ae_jax.losses._absolute import absolute
from ae_jax.losses._precision import at_least_float32
from ae_jax.losses.logistic_mixture import log_level_mass
from ae_jax.types import Array, Likelihood

NAME = "discretized_logistic_mixture"
LOG_SCALE_BOUND = 7.0
OFF_GRID = 0.05  # of a step between two levels: float32 keeps 65536 levels to 0.004


@LIKELIHOODS.register
def discretized_logistic_mixture(num_mixtures: int = 10, levels: int = 256) -> Likelihood:
    """Log p(x | z) of pixels that take one of a few evenly spaced grey levels.

    Each entry has K logistics of its own, and a grey level the mass of its bin:
    log p = Σ log Σₖ πₖ [σ((v + h - μₖ)/sₖ) - σ((v - h - μₖ)/sₖ)], v = 2x - 1, h = 1/(levels - 1),
    the outermost bins reaching to ±∞ (Salimans et al., "PixelCNN++", ICLR 2017). Entries, channels
    included, are independent given z: their linear coupling of a pixel's channels is left out, as
    an autoencoder decodes all of them at once.

    The decoder emits `[…, C · 3 · K]` for events `[…, C]`: for each channel K logits of π, then K
    locations μ, then K raw log s. log s is kept smoothly within ±7, where they clip it at -7. μ and
    s are on the scale of [-1, 1]. It is a probability, not a density, of the original values, so
    that `losses.bits_per_dim` of it compares across models.

    `mean` is that of the mixture clipped to [0, 1] but not rounded to levels: within half a level
    of the exact one, and much closer where s is above one level. `mode` is the most probable level.

    Args:
      num_mixtures: K.
      levels: grey levels of the original data: 256 for bytes. x is level / (levels - 1), as
        `preprocessing.scale(0, levels - 1)` gives it.

    Returns:
      A Likelihood over events with at least one axis.

    Raises:
      ConfigError: num_mixtures or levels is not a whole number above 0 and 1.

    Example:
      >>> import ae_jax as ae
      >>> ae.likelihoods.discretized_logistic_mixture().parameter_shape((32, 32, 3))
      (32, 32, 90)
    """
    require_positive_ints(num_mixtures=num_mixtures, levels=levels)
    if levels < 2:
        raise ConfigError(f"levels must be at least 2, got {levels!r}")

    def split(y: Array) -> list[Array]:
        (y,) = at_least_float32(y)
        y = y.reshape(*y.shape[:-1], -1, 3 * num_mixtures)
        logits, locations, raw = jnp.split(y, 3, axis=-1)
        return [logits, locations, losses.bounded_log_var(raw, LOG_SCALE_BOUND)]

    def log_prob(params, y, x, observed):
        logits, locations, log_scales = split(y)
        nll = losses.discretized_logistic_mixture_nll
        return -nll(x, logits, locations, log_scales, observed, levels=levels)

    def mode(params, y):
        logits, locations, log_scales = split(y)

        def better(level, best):
            masses = logits + log_level_mass(level, locations, log_scales, levels)
            mass = jax.nn.logsumexp(masses, axis=-1)
            return jnp.maximum(mass, best[0]), jnp.where(mass > best[0], level, best[1])

        start = jnp.full(logits.shape[:-1], -jnp.inf, logits.dtype)
        level = jax.lax.fori_loop(0, levels, better, (start, jnp.zeros(start.shape, jnp.int32)))[1]
        return level.astype(logits.dtype) / (levels - 1)

    def sample(params, y, key):
        logits, locations, log_scales = split(y)
        which, noise = jax.random.split(key)
        chosen = jax.random.categorical(which, logits)[..., None]
        location, log_scale = (
            jnp.take_along_axis(v, chosen, axis=-1)[..., 0] for v in (locations, log_scales)
        )
        logistic = jax.random.logistic(noise, location.shape, location.dtype)
        grey = 0.5 + 0.5 * (location + jnp.exp(log_scale) * logistic)
        return jnp.round(jnp.clip(grey, 0, 1) * (levels - 1)) / (levels - 1)

    return Likelihood(
        parameter_shape=lambda shape: (*shape[:-1], shape[-1] * 3 * num_mixtures),
        init=lambda key: {},
        log_prob=log_prob,
        mean=lambda params, y: _clipped_mean(*split(y)),
        mode=mode,
        sample=sample,
        validate=lambda x: _validate(x, levels),
        discrete=True,
    )


def _clipped_mean(logits: Array, locations: Array, log_scales: Array) -> Array:
    """E[clip(v, -1, 1)] of the mixture, as a grey level in [0, 1].

    Of one logistic it is s softplus((μ + 1)/s) - s softplus((μ - 1)/s) - 1, here without the
    differences of large numbers.
    """
    scales = jnp.exp(log_scales)
    tail = lambda edge: scales * jnp.log1p(jnp.exp(-absolute(locations - edge) / scales))
    means = jnp.clip(locations, -1, 1) + tail(-1.0) - tail(1.0)
    return 0.5 + 0.5 * jnp.sum(jax.nn.softmax(logits) * means, axis=-1)


def _validate(x: np.ndarray, levels: int) -> None:
    top = levels - 1
    require_range(NAME, x, 0, 1, f"scale the data from [0, {top}] to [0, 1]")
    steps = np.asarray(x, np.float64) * top
    needs = f"one of {levels} grey levels, multiples of 1/{top}"
    instead = "set levels to what the data have, or use another likelihood"
    require(NAME, x, np.abs(steps - np.round(steps)) > OFF_GRID, needs, instead)
