"""The latent is the encoder's output."""

from typing import Any

from ae_jax._registry import BOTTLENECKS, PRIORS
from ae_jax.bottlenecks._shapes import latent_shape, no_stats, same_state
from ae_jax.distributions import PointMass
from ae_jax.types import Bottleneck


@BOTTLENECKS.register
def identity(latent_dim: int | tuple[int, ...], prior: Any = None) -> Bottleneck:
    """The features as they are, z = h (Rumelhart, Hinton & Williams 1986).

    For plain, denoising and Wasserstein models.

    Args:
      latent_dim: size or shape of z, which the encoder emits.
      prior: Prior, its name or its config node, for models that hold a deterministic code
        against one (WAE); None: no prior, which leaves `sample` unavailable.

    Returns:
      A Bottleneck whose posterior is a point mass.

    Example:
      >>> import ae_jax as ae
      >>> import jax.numpy as jnp
      >>> bottleneck = ae.bottlenecks.identity(3)
      >>> bottleneck.posterior({}, {}, jnp.arange(3.0)).mean.tolist()
      [0.0, 1.0, 2.0]
    """
    shape = latent_shape(latent_dim)
    prior = None if prior is None else PRIORS.build(prior)

    def init(key):
        return ({} if prior is None else prior.init(key, shape)), {}

    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=init,
        posterior=lambda params, state, features: PointMass(features),
        latent=lambda params, state, posterior, key: posterior.value,
        prior=lambda params, state: None if prior is None else prior.apply(params, shape),
        stats=no_stats,
        update=same_state,
    )
