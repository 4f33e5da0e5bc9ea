"""Laplace observations with fixed, learned or predicted scale."""

import jax

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.likelihoods._location_scale import location_scale
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def laplace(variance: str = "fixed", scale: float = 1.0, least: float | None = None) -> Likelihood:
    """Log p(x | z) = -Σ [|x - μ| / b + log b + log 2]: absolute error with its constants.

    μ is mean, median and mode; the variance is 2 b². The options are those of `gaussian`, so that
    one can stand in for the other.

    Args:
      variance: "fixed" (b = scale), "global" (one learned b, started at scale:
        2 log b = 2 log scale + 10 · shift, with shift the parameter) or "predicted" (the
        decoder emits μ and the raw 2 log b side by side on the last axis, started around scale).
      scale: the mean absolute deviation b, in the data's units.
      least: bound, below scale, that a learned b stays above, see `gaussian`; None: no such bound.

    Returns:
      A Likelihood; the decoder emits the event's shape, its last axis doubled for "predicted".

    Raises:
      ConfigError: an unknown variance, a scale that is not above zero, or a least that is not
        between zero and scale or whose variance is fixed.

    Example:
      >>> import ae_jax as ae
      >>> import jax.numpy as jnp
      >>> likelihood = ae.likelihoods.laplace(scale=0.5)
      >>> float(likelihood.log_prob({}, jnp.zeros(2), jnp.zeros(2), None))  # 2 log 1
      0.0
    """

    def nll(x, location, log_square, observed):
        return losses.laplace_nll(x, location, 0.5 * log_square, observed)

    return location_scale(variance, scale, nll, jax.random.laplace, least)
