"""Priors p(z), which fill a bottleneck's `prior`."""

from ae_jax import distributions
from ae_jax._registry import PRIORS
from ae_jax.types import Prior

__all__ = ["standard_normal"]


@PRIORS.register
def standard_normal() -> Prior:
    """N(0, I) over the latent; nothing is learned (Kingma & Welling 2014).

    Returns:
      A Prior without parameters.

    Example:
      >>> import ae_jax as ae
      >>> prior = ae.priors.standard_normal()
      >>> prior.apply({}, (2,)).mean.tolist()
      [0.0, 0.0]
    """
    return Prior(
        init=lambda key, latent_shape: {},
        apply=lambda params, latent_shape: distributions.standard_normal(latent_shape),
    )
