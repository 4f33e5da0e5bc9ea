"""Gaussian observations with fixed, learned or predicted variance."""

import jax

from ae_jax import losses
from ae_jax.likelihoods._location_scale import location_scale
from ae_jax.registry import LIKELIHOODS
from ae_jax.types import Likelihood


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
    return location_scale(variance, scale, losses.gaussian_nll, jax.random.normal)
