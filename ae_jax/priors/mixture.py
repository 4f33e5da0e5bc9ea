"""The mixture of Gaussians as a prior."""

import jax
import jax.numpy as jnp

from ae_jax._registry import PRIORS
from ae_jax.checks import require_positive_ints
from ae_jax.distributions import DiagonalGaussian, Mixture
from ae_jax.losses import bounded_log_var
from ae_jax.types import Prior


@PRIORS.register
def mixture(components: int = 10) -> Prior:
    """Σ_k π_k N(μ_k, diag σ_k²), all of it learned (Dilokthanakul et al. 2016; Jiang et al. 2017).

    Means are drawn from N(0, I) and deviations are 1 at first. With one component it is a Gaussian
    whose moments are learned.

    Args:
      components: K.

    Example:
      >>> import ae_jax as ae, jax
      >>> prior = ae.priors.mixture(components=3)
      >>> params = prior.init(jax.random.key(0), (2,))
      >>> prior.apply(params, (2,)).log_prob(jax.numpy.zeros(2)).shape
      ()
    """
    require_positive_ints(components=components)

    def init(key, latent_shape):
        shape = (components, *latent_shape)
        return {
            "logits": jnp.zeros(components),
            "loc": jax.random.normal(key, shape),
            "log_var": jnp.zeros(shape),
        }

    def apply(params, latent_shape):
        del latent_shape
        each = DiagonalGaussian(params["loc"], bounded_log_var(params["log_var"]))
        return Mixture(params["logits"], each)

    return Prior(init, apply)
