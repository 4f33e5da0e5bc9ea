"""A prior for each label."""

import functools
from typing import Any

import jax

from ae_jax._registry import PRIORS
from ae_jax.checks import require_positive_ints
from ae_jax.distributions import Conditional
from ae_jax.errors import ConfigError, PartError
from ae_jax.types import Prior


@PRIORS.register
def conditional(num_classes: int, prior: Any = "mixture", condition: str = "label") -> Prior:
    """p(z | label): a prior with parameters of its own for each label, and for none.

    Args:
      num_classes: how many labels there are, 0 … num_classes - 1; -1 is no label.
      prior: a Prior that is learned, its name or config node: of `mixture(components=1)` each class
        gets a Gaussian.
      condition: the entry of `extras` that holds the label.

    Raises:
      PartError: the prior takes the encoder, as "vamp" does.
      ConfigError: the prior has no parameters.

    Example:
      >>> import ae_jax as ae
      >>> prior = ae.priors.conditional(10, ae.priors.mixture(components=1))
      >>> bottleneck = ae.bottlenecks.gaussian(2, prior=prior)
    """
    require_positive_ints(num_classes=num_classes)
    inner = PRIORS.build(prior)
    if inner.support == "posteriors":
        raise PartError("a conditional prior cannot be one of posteriors: take 'mixture' or 'flow'")

    def init(key, latent_shape):
        keys = jax.random.split(key, num_classes + 1)
        params = jax.vmap(lambda key: inner.init(key, latent_shape))(keys)
        if not jax.tree.leaves(params):
            raise ConfigError(
                "a conditional prior needs one that is learned, e.g. ae.priors.mixture"
            )
        return params

    def apply(params, latent_shape):
        one = functools.partial(inner.apply, latent_shape=latent_shape)
        return Conditional(params, one, condition, num_classes)

    return Prior(init, apply, inner.support)
