"""What a critic may be given of a batch, by name: real, reconstructed, made up, or codes."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.distributions import conditioned
from ae_jax.errors import ConfigError, PartError, nearest
from ae_jax.terms._registered import likelihood_means, part
from ae_jax.types import BATCH_AXIS, Array, Context, Outputs, Told

PRIOR_DRAW = 2**31 - 3  # beside the numbers of latent samples in an example's latent stream
Feed = str | tuple[str, ...]


def prior_codes(outputs: Outputs, context: Context) -> Array:
    """A draw from the prior for each example, `[b, *latent]`: those that a generator decoded.

    Raises:
      PartError: the model has no prior.
    """
    if outputs.posterior is None:
        return outputs.z[:, 0]
    prior = context.model.prior(context.variables)
    if prior is None:
        raise PartError(
            "nothing can be drawn from the prior of a bottleneck without one, e.g. "
            "ae.bottlenecks.identity(8, prior='standard_normal')"
        )

    def draw(key, extras):
        return conditioned(prior, extras).sample(jax.random.fold_in(key, PRIOR_DRAW))

    return jax.vmap(draw)(context.keys.latent, dict(context.batch.extras))


def samples(outputs: Outputs, context: Context) -> Array:
    """The likelihood's mean at those draws, `[b, *event]`, networks working as in training."""
    model, (likelihood, _) = context.model, part(context, "likelihood")
    mean = jax.vmap(lambda y: model.likelihood.mean(likelihood, y))
    if outputs.posterior is None:
        return mean(outputs.parameters[:, 0])

    def decoded(z, extras, key):
        told = Told(extras=extras, key=jax.random.fold_in(key, PRIOR_DRAW))
        return model.decode_one(context.variables, z, told, train=context.train)[0]

    rows = prior_codes(outputs, context), dict(context.batch.extras), context.keys.dropout
    return mean(jax.vmap(decoded, axis_name=BATCH_AXIS)(*rows))


def _codes(outputs: Outputs, context: Context) -> Array:
    del context
    if outputs.posterior is None:
        raise PartError("without an encoder there is no 'code' of x; 'prior' is what it decodes")
    return outputs.z[:, 0]


FEEDS: dict[str, tuple[str, Callable[[Outputs, Context], Array]]] = {
    "x": ("x", lambda outputs, context: context.batch.x),
    "reconstruction": ("x", lambda outputs, context: likelihood_means(outputs, context)[:, 0]),
    "sample": ("x", samples),
    "code": ("code", _codes),
    "prior": ("code", prior_codes),
}
"""By name what kind of thing it is, as in a critic's `on`, and how it is had."""


def require_feeds(**feeds: Feed) -> None:
    """Raises ConfigError for the first feed that is none of ours, by its argument's name."""
    for argument, names in feeds.items():
        for name in _several(names):
            if name not in FEEDS:
                raise ConfigError(f"{argument} cannot be {name!r}{nearest(name, FEEDS)}")


def feed(outputs: Outputs, context: Context, critic: str, names: Feed) -> tuple[Array, ...]:
    """What a critic is given, each `[b, …]`.

    Args:
      outputs: of the forward pass.
      context: of the batch.
      critic: its name.
      names: of `FEEDS`, one for each thing that it reads.

    Raises:
      PartError: there is no such critic, or it reads another kind of thing.
    """
    critics = context.model.critics
    if critic not in critics:
        raise PartError(f"the model has no critic '{critic}'{nearest(critic, critics)}")
    kinds, on = tuple(FEEDS[name][0] for name in _several(names)), critics[critic].on
    if kinds != on:
        raise PartError(
            f"the critic '{critic}' reads {_spoken(on)}, but is given {_spoken(_several(names))}, "
            f"which is {_spoken(kinds)}: build it with ae.critic(on={kinds!r})"
        )
    return tuple(fed(name, outputs, context) for name in _several(names))


def fed(name: str, outputs: Outputs, context: Context) -> Array:
    """What a name stands for; of examples with missing entries, 0 there, real or made alike.

    A critic that saw what is missing in the one and not in the other would tell them by that.
    """
    kind, source = FEEDS[name]
    value = source(outputs, context)
    return observed_alone(value, context) if kind == "x" else value


def observed_alone(x: Array, context: Context) -> Array:
    """Examples `[b, *event]` with 0 for entries that are missing in the batch."""
    observed = context.batch.observed
    return x if observed is None else jnp.where(observed, x, 0)


def _several(names: Feed) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _spoken(names: Sequence[Any]) -> str:
    return " and ".join(f"'{name}'" for name in names)
