"""A flow as a prior."""

import math
from typing import Any

from ae_jax._registry import FLOWS, PRIORS
from ae_jax.distributions import Transformed, standard_normal
from ae_jax.errors import ShapeError
from ae_jax.types import Prior


@PRIORS.register
def flow(flow: Any = "masked_autoregressive") -> Prior:
    """A standard normal led through a flow that is learned (Chen et al. 2017).

    Training takes the flow's inverse, which is one pass of "masked_autoregressive", "realnvp" and
    "rational_quadratic_spline"; samples take it forward.

    Args:
      flow: a Flow, name or config node.

    Raises:
      ShapeError: the latent is not one vector.

    Example:
      >>> import ae_jax as ae, jax
      >>> prior = ae.priors.flow(ae.flows.realnvp(layers=2, hidden=(16,)))
      >>> params = prior.init(jax.random.key(0), (3,))
      >>> prior.apply(params, (3,)).sample(jax.random.key(1)).shape
      (3,)
    """
    built = FLOWS.build(flow)

    def init(key, latent_shape):
        if len(latent_shape) != 1:
            raise ShapeError(
                f"a flow is of vectors, got a latent of shape {latent_shape}: take latent_dim="
                f"{math.prod(latent_shape)}"
            )
        return built.init(key, latent_shape[0], 0)

    def apply(params, latent_shape):
        return Transformed(standard_normal(latent_shape), params, None, built)

    return Prior(init, apply)
