"""Gaussian observations with fixed, learned or predicted variance."""

import jax

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.likelihoods._location_scale import location_scale
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def gaussian(variance: str = "fixed", scale: float = 1.0, least: float | None = None) -> Likelihood:
    """Log p(x | z) = -½ Σ [(x - μ)² / σ² + log σ² + log 2π], constants included.

    Args:
      variance: "fixed" (σ = scale), "global" (one learned σ, started at scale:
        log σ² = 2 log scale + 10 · shift, with shift the parameter) or "predicted" (the
        decoder emits μ and the raw log σ² side by side on the last axis, started around scale).
      scale: the standard deviation σ, in the data's units.
      least: what a learned σ stays above, below scale: log σ² = 2 log least + softplus(c + raw),
        that is σ² = least² + (scale² - least²) exp raw, with raw the shift of a global one or what
        is predicted. Without, a global σ follows the error down to any value, and a step of plain
        SGD, which grows as 1/σ², runs away; a predicted one can close in on single examples, where
        the likelihood has no bound (Mattei & Frellsen 2018). None: no such bound.

    Returns:
      A Likelihood; the decoder emits the event's shape, its last axis doubled for "predicted".

    Raises:
      ConfigError: an unknown variance, a scale that is not above zero, or a least that is not
        between zero and scale or whose variance is fixed.

    Example:
      >>> import ae_jax as ae
      >>> table = ae.likelihoods.gaussian("global", least=0.5)
    """
    return location_scale(variance, scale, losses.gaussian_nll, jax.random.normal, least)
