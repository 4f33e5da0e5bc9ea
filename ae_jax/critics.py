"""Critics: networks beside encoder and decoder, which terms ask what they make of x or a code."""

from collections.abc import Mapping, Sequence
from typing import Any

from ae_jax._registry import CRITICS, NETWORKS
from ae_jax.checks import require_below_one, require_positive_ints
from ae_jax.errors import ConfigError, PartError, nearest
from ae_jax.types import Coder, Critic, Network, Shape

SOURCES = ("x", "code")
"""What a critic may read of an example."""
TAKEN = ("encoder", "decoder", "bottleneck", "likelihood")


@CRITICS.register
def critic(
    network: Any = None,
    on: str | Sequence[str] = "x",
    outputs: int | Sequence[int] | None = None,
) -> Critic:
    """A network that judges each example, code, or pair of both: a discriminator.

    A batch normalisation in it sees real and made examples apart from each other while training, as
    in DCGAN (Radford et al. 2016); the statistics it keeps, by which evaluation judges both, are
    those of the data and their codes alone. Penalties on its gradient are of single examples, and
    want a layer normalisation (Gulrajani et al. 2017) or none.

    Args:
      network: a Coder or Network, its name or config node; None: chosen from the data.
      on: "x" for examples, real or made; "code" for latents; ("x", "code") for pairs, which it
        reads flattened and side by side.
      outputs: how many numbers it emits, `[outputs]`, or their shape; None: one, as a scalar.

    Returns:
      A Critic, for the argument `critics` of `ae.autoencoder` and of recipes.

    Raises:
      ConfigError: it is to read something else, or to emit nothing.
      PartError: the network is none.

    Example:
      >>> import ae_jax as ae
      >>> ae.critic(ae.networks.mlp((64, 64)), on="code").on
      ('code',)
    """
    sources = (on,) if isinstance(on, str) else tuple(on)
    for source in sources:
        if source not in SOURCES:
            raise ConfigError(f"a critic cannot read {source!r}{nearest(source, SOURCES)}")
    if not sources or len(set(sources)) < len(sources):
        raise ConfigError(f"a critic reads 'x', 'code', or each once, got on={on!r}")
    sizes = (outputs,) if isinstance(outputs, int) else tuple(outputs or ())
    for size in sizes:
        require_positive_ints(outputs=size)
    network = None if network is None else NETWORKS.build(network)
    return Critic(network, sources, sizes)


@CRITICS.register
def teacher(decay: float = 0.996) -> Critic:
    """A moving average of the encoder, for others to learn from (Tarvainen & Valpola 2017).

    θ' ← m θ' + (1 - m) θ after each step, from the encoder's first parameters θ on. It stands in
    `variables.state` under its own name, is never differentiated, and emits of x, uncorrupted, what
    the encoder emits.

    Args:
      decay: m.

    Returns:
      A Critic that no player moves, for the argument `critics` of recipes.

    Raises:
      ConfigError: decay outside [0, 1).

    Example:
      >>> import ae_jax as ae
      >>> ae.teacher(0.99).decay
      0.99
    """
    require_below_one(decay=decay)
    return Critic(None, ("x",), (), decay)


def as_critic(part: Any) -> Critic:
    """A Critic from one, its config node, or a network that judges x by one number.

    Raises:
      PartError: it is none of these.
      UnknownNameError: neither a critic nor a network has this name.
    """
    if isinstance(part, Critic):
        return part
    if isinstance(part, Network | Coder):
        return critic(part)
    name = part.get("name") if isinstance(part, Mapping) else part
    if not isinstance(name, str):
        raise PartError(f"expected a critic or a network, got {type(part).__name__}: {part!r:.200}")
    return CRITICS.build(part) if name in CRITICS.factories else critic(NETWORKS.build(part))


def bound(name: str, part: Any, encoder: Any = None, features: Shape = ()) -> Critic:
    """The critic of a model, its network told what to emit.

    Args:
      name: of the critic.
      part: see `as_critic`.
      encoder: the model's Coder, which a teacher shares.
      features: the shape that it emits.

    Raises:
      ConfigError: the name belongs to another part.
      PartError: it is no critic, or its network is not chosen yet.
    """
    if name in TAKEN or not name.isidentifier():
        raise ConfigError(f"no critic can be called '{name}': take another word than {TAKEN}")
    critic = as_critic(part)
    network = critic.network
    if critic.decay is not None:
        if encoder is None:
            raise PartError(f"'{name}' is to follow the encoder, and this model has none")
        return critic._replace(network=encoder, outputs=tuple(features))
    if network is None:
        raise PartError(f"the critic '{name}' needs a network, e.g. ae.networks.mlp((64,))")
    if isinstance(network, Network):
        network = network.bind(critic.outputs)._replace(node=network.node)
    return critic._replace(network=network)
