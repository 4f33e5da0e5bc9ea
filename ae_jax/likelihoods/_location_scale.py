"""Families with a location and a fixed, learned or predicted scale."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_positive
from ae_jax.errors import ConfigError, nearest
from ae_jax.likelihoods._checks import anything
from ae_jax.losses._precision import at_least_float32, log_of
from ae_jax.types import Array, Likelihood, PRNGKey

STRETCH = 10.0


def _fixed(scale, least):
    _refuse(least, "fixed")
    log_var = 2 * log_of(scale)
    return lambda key: {}, lambda params, y: (y, jnp.full_like(y, log_var)), 1


def _global(scale, least):
    if least is not None:
        return _bounded(scale, least)

    # Adam moves a parameter by its learning rate a step, whatever the gradient: stretched, so that
    # one number keeps up with the networks.
    def split(params, y):
        raw = 2 * log_of(scale) + STRETCH * params["shift"]
        return y, jnp.full_like(y, losses.bounded_log_var(raw))

    return lambda key: {"shift": jnp.zeros(())}, split, 1


def _bounded(scale, least):
    log_var = _above(scale, least)

    def split(params, y):
        return y, jnp.full_like(y, losses.bounded_log_var(log_var(params["shift"])))

    return lambda key: {"shift": jnp.zeros(())}, split, 1


def _above(scale, least):
    """From a raw number to log σ² = log(least² + (scale² - least²) exp raw)."""
    require_positive(least=least)
    if not least < scale:
        raise ConfigError(
            f"least must be below the scale {scale:g} from which σ starts, got {least!r}"
        )
    lowest = 2 * math.log(least)
    start = math.log(math.expm1(2 * math.log(scale) - lowest))  # softplus⁻¹
    return lambda raw: lowest + jax.nn.softplus(start + raw)


def _refuse(least, variance):
    if least is not None:
        raise ConfigError(
            "least is of the variances 'global' and 'predicted', got "
            f"least={least!r} for {variance!r}"
        )


def _predicted(scale, least):
    log_var = (lambda raw: raw + 2 * log_of(scale)) if least is None else _above(scale, least)

    def split(params, y):
        mean, raw = jnp.split(y, 2, axis=-1)
        return mean, losses.bounded_log_var(log_var(raw))

    return lambda key: {}, split, 2


VARIANCES = {"fixed": _fixed, "global": _global, "predicted": _predicted}


def scale_of(variance: str, scale: float, least: float | None) -> tuple[Any, Any, int]:
    """One of `VARIANCES`, its arguments checked: see `location_scale`.

    Returns:
      `init`, `(params, y) -> (location, 2 log scale)`, and how wide y's last axis is by x's.
    """
    require_positive(scale=scale)
    if variance not in VARIANCES:
        raise ConfigError(f"variance cannot be {variance!r}{nearest(variance, VARIANCES)}")
    return VARIANCES[variance](scale, least)


def location_scale(
    variance: str,
    scale: float,
    nll: Callable[[Array, Array, Array, Array | None], Array],
    noise: Callable[[PRNGKey, tuple[int, ...], jnp.dtype], Array],
    least: float | None = None,
) -> Likelihood:
    """A symmetric likelihood of x = location + scale · noise.

    Args:
      variance: "fixed", "global" (2 log scale + 10 · shift, with shift the parameter) or
        "predicted" (by the second half of the decoder's last axis, started around `scale`).
      scale: the one that is fixed or started from, in the data's units.
      nll: `(x, location, 2 log scale, observed) -> ` nats, of one event.
      noise: `(key, shape, dtype) -> ` draws of location 0 and scale 1.
      least: the scale that a learned one stays above: 2 log scale = 2 log least +
        softplus(start + raw), with raw the shift or what is predicted; None: no such bound.

    Returns:
      A Likelihood; the decoder emits the event's shape, its last axis doubled for "predicted".

    Raises:
      ConfigError: an unknown variance, a scale that is not above zero, or a least that is not
        between the two.
    """
    init, split_promoted, width = scale_of(variance, scale, least)

    def split(params, y):
        return split_promoted(params, *at_least_float32(y))

    def parameter_shape(event_shape):
        return (*event_shape[:-1], width * event_shape[-1]) if width > 1 else event_shape

    def sample(params, y, key):
        location, log_var = split(params, y)
        return location + jnp.exp(0.5 * log_var) * noise(key, location.shape, location.dtype)

    def log_prob(params, y, x, observed):
        location, log_var = split(params, y)
        return -nll(x, location, log_var, observed)

    return Likelihood(
        parameter_shape=parameter_shape,
        init=init,
        log_prob=log_prob,
        mean=lambda params, y: split(params, y)[0],
        mode=lambda params, y: split(params, y)[0],
        sample=sample,
        validate=anything,
    )
