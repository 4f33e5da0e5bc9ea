"""How a bottleneck takes its prior, and what bottlenecks with a density have in common."""

from collections.abc import Callable
from typing import Any

import jax

from ae_jax._registry import PRIORS
from ae_jax.bottlenecks._shapes import latent_shape, no_stats, same_state
from ae_jax.errors import ConfigError, PartError
from ae_jax.networks.adapters import accepted
from ae_jax.types import Array, Bottleneck, Distribution, Shape, Tree


class Held:
    """A prior over one latent shape, and how it is called."""

    def __init__(self, prior: Any, shape: Shape, support: str):
        """Builds the prior and checks that it fits.

        Args:
          prior: a Prior or its config node.
          shape: of the latent.
          support: of the posterior, as in `Prior.support`.

        Raises:
          PartError: the prior has its density elsewhere.
        """
        self.prior, self.shape = PRIORS.build(prior), shape
        if self.prior.support not in (support, "posteriors"):
            name = getattr(self.prior.node, "name", "the prior")
            raise PartError(
                f"the prior '{name}' has its density on {self.prior.support}, the posterior on "
                f"{support}"
            )
        if not accepted(self.prior.init, {"example": None}):
            # Whether it can be of this shape; traced, as a process may have others to join yet.
            jax.eval_shape(lambda: self.init(jax.random.key(0)))

    def init(self, key: Any, example: Array | None = None) -> Tree:
        """Its parameters."""
        return self.prior.init(key, self.shape, **accepted(self.prior.init, {"example": example}))

    def __call__(self, params: Tree, encode: Callable[..., Any] | None = None) -> Distribution:
        """The distribution."""
        offered = accepted(self.prior.apply, {"encode": encode})
        return self.prior.apply(params, self.shape, **offered)


def with_density(
    shape: Shape,
    feature_shape: Shape,
    posterior: Callable[[Array], Distribution],
    prior: Any,
    support: str = "vectors",
) -> Bottleneck:
    """The bottleneck of a posterior made of features alone, whose code is its location.

    Args:
      shape: of the latent.
      feature_shape: what the encoder must emit.
      posterior: of the features of one example; without a key the latent is its mode.
      prior: a Prior or its config node.
      support: of the posterior.

    Returns:
      A Bottleneck, whose parameters are the prior's.
    """
    held = Held(prior, shape, support)
    return Bottleneck(
        latent_shape=shape,
        feature_shape=feature_shape,
        init=lambda key, example=None: (held.init(key, example), {}),
        posterior=lambda params, state, features: posterior(features),
        latent=lambda params, state, q, key: q.mode if key is None else q.sample(key),
        prior=lambda params, state, encode=None: held(params, encode),
        stats=no_stats,
        update=same_state,
    )


def vector_shape(what: str, latent_dim: Any, least: int = 1) -> Shape:
    """The shape of a latent that must be one vector.

    Args:
      what: needs a vector, for the message.
      latent_dim: its size, or a shape of one axis.
      least: the size that it needs.

    Raises:
      ConfigError: it is a shape of several axes, or too small.
    """
    shape = latent_shape(latent_dim)
    if len(shape) != 1:
        raise ConfigError(
            f"{what} is of vectors: latent_dim must be one number, got {latent_dim!r}"
        )
    if shape[0] < least:
        raise ConfigError(f"{what} needs a latent_dim of at least {least}, got {latent_dim!r}")
    return shape
