"""A model from its parts, checked against each other."""

from collections.abc import Mapping
from typing import Any

import jax
from flax.core import FrozenDict

from ae_jax import _registry as registry
from ae_jax.corruptions import Corruption, none
from ae_jax.critics import bound
from ae_jax.errors import ConfigError, PartError
from ae_jax.model.autoencoder import Autoencoder
from ae_jax.types import Bottleneck, Coder, Critic, Likelihood, Network, Shape


def autoencoder(
    encoder: Coder | Network | None,
    decoder: Coder | Network,
    bottleneck: Bottleneck,
    likelihood: Likelihood,
    corruption: Corruption | None = None,
    *,
    event_shape: Shape | None = None,
    critics: Mapping[str, Critic | Coder | Network] | None = None,
) -> Autoencoder:
    """A model from its parts.

    Args:
      encoder: a Coder, or a Network to be told the bottleneck's feature shape; None: z is drawn
        from the bottleneck's prior, and the decoder is a generator.
      decoder: a Coder, or a Network to be told the likelihood's parameter shape.
      bottleneck: e.g. `ae.bottlenecks.gaussian(32)`.
      likelihood: e.g. `ae.likelihoods.bernoulli()`.
      corruption: what the encoder sees in place of x; None: x itself.
      event_shape: the shape of one example; needed where the decoder is a Network.
      critics: further networks by name, `ae.critic(…)` or bare networks that read x and emit one
        number; their parameters stand beside those of the other parts.

    Returns:
      An Autoencoder.

    Raises:
      PartError: an argument is another kind of part, event_shape is missing, or there is neither an
        encoder nor a prior.
      ConfigError: the encoder expects another part of the patches hidden than the corruption hides.

    Example:
      >>> import ae_jax as ae
      >>> model = ae.autoencoder(
      ...     ae.networks.mlp((64,)),
      ...     ae.networks.mlp((64,)),
      ...     ae.bottlenecks.gaussian(2),
      ...     ae.likelihoods.bernoulli(),
      ...     event_shape=(8, 8, 1),
      ... )
    """
    bottleneck = registry.BOTTLENECKS.check(bottleneck)
    likelihood = registry.LIKELIHOODS.check(likelihood)
    decoder = registry.NETWORKS.check(decoder)
    encoder = None if encoder is None else registry.NETWORKS.check(encoder)
    if corruption is not None:
        registry.CORRUPTIONS.check(corruption)
    _check_rates(encoder, corruption)
    if isinstance(encoder, Network):
        coder = encoder.bind(bottleneck.feature_shape)
        encoder = None if coder is None else coder._replace(node=encoder.node)
    if isinstance(decoder, Network):
        if event_shape is None:
            raise PartError(
                "a built-in decoder must be told what to emit: pass event_shape=x.shape[1:]"
            )
        shape = likelihood.parameter_shape(tuple(event_shape))
        decoder = decoder.bind(shape)._replace(node=decoder.node)
    if encoder is None:
        _require_prior(bottleneck)
    encoding = encoder, bottleneck.feature_shape
    named = FrozenDict(
        {name: bound(name, part, *encoding) for name, part in (critics or {}).items()}
    )
    corruption = corruption or none()
    return Autoencoder(encoder, decoder, bottleneck, likelihood, corruption, critics=named)


def _require_prior(bottleneck: Bottleneck) -> None:
    prior = jax.eval_shape(lambda: bottleneck.prior(*bottleneck.init(jax.random.key(0))))
    if prior is None:
        raise PartError(
            "a model without an encoder draws z from its prior, and this bottleneck has none: "
            "e.g. ae.bottlenecks.identity(64, prior='standard_normal')"
        )


def _check_rates(encoder: Any, corruption: Any) -> None:
    """An encoder that drops a fixed number of patches drops those that the corruption hides."""
    nodes = (getattr(part, "node", None) for part in (encoder, corruption))
    expected, masked = ({} if node is None else dict(node.kwargs) for node in nodes)
    dropped = expected.get("mask_rate")
    if dropped and "patch" in masked and dropped != masked["rate"]:
        raise ConfigError(
            f"the encoder's mask_rate={dropped:g} must be the corruption's rate="
            f"{masked['rate']:g}: it processes as many patches as that leaves"
        )
