"""The network that is not there."""

from typing import Any

from ae_jax._registry import NETWORKS
from ae_jax.types import Coder, Network, Shape


@NETWORKS.register
def none() -> Network:
    """No encoder: z comes from the prior and the decoder generates (Goodfellow et al. 2014).

    Returns:
      A Network that stands for "none", where None would mean "chosen from the data".

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.gan(64).encoder == ae.networks.none()
      True
    """
    return Network(_nothing)


def _nothing(shape: Shape) -> Coder:
    del shape
    nothing: Any = None
    return nothing
