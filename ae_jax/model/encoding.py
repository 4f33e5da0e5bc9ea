"""From examples to posteriors and codes, by encoder and bottleneck alone.

Methods of `Autoencoder`: a model is their first argument.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.errors import PartError
from ae_jax.model.assembly import part_of
from ae_jax.ops import random as fused_random
from ae_jax.types import (
    BATCH_AXIS,
    Array,
    Batch,
    Distribution,
    PRNGKey,
    Variables,
)

NO_ENCODER = (
    "this model has no encoder, so that nothing can be encoded or reconstructed: it makes examples "
    "from its prior, by sample() (ae.recipes.bigan encodes as well)"
)


def posterior(
    model: Any,
    variables: Variables,
    x: Array,
    observed: Array | None = None,
    extras: dict[str, Array] | None = None,
    info: dict[str, Array] | None = None,
) -> Distribution:
    """q(z | x) of a batch, leaves `[b, …]`, by the encoder's and bottleneck's variables alone.

    Args:
      model: an Autoencoder.
      variables: those two parts' suffice.
      x: `[b, *event]`, not corrupted, or as `info` says.
      observed: bool `[b, *event]`, or None.
      extras: each `[b, …]`.
      info: what the corruption of x tells, each `[b, …]`: the mask of a masked autoencoder.

    Raises:
      PartError: the model has no encoder.
    """
    one = lambda *row: model.posterior_of_one(variables, *row)
    return jax.vmap(one, axis_name=BATCH_AXIS)(x, observed, extras or {}, info)


def posterior_of_one(
    model: Any,
    variables: Variables,
    x: Array,
    observed: Array | None = None,
    extras: dict[str, Array] | None = None,
    info: dict[str, Array] | None = None,
) -> Distribution:
    """`posterior` of one example, within a map over the batch."""
    return posterior_of_seen(model, variables, model.seen(x, observed), observed, extras, info)


def posterior_of_seen(
    model: Any, variables: Variables, seen: Array, observed: Any, extras: Any, info: Any
) -> Distribution:
    """`posterior_of_one` of what the networks read of x."""
    if model.encoder is None:
        raise PartError(NO_ENCODER)
    told = {"observed": observed, "extras": extras or {}, "info": info}
    features, _, _ = model.encoder.apply(*part_of(variables, "encoder"), seen, **told)
    return model.bottleneck.posterior(*part_of(variables, "bottleneck"), features)


def started(model: Any, variables: Variables, batch: Batch, key: PRNGKey) -> Variables:
    """The variables with the bottleneck started at the features of a first batch, if it can be.

    Args:
      model: an Autoencoder.
      variables: as initialised.
      batch: x is `[b, *event]`; `valid` is not looked at.
      key: a typed key.
    """
    encoder = model.encoder
    if model.bottleneck.start is None or encoder is None:
        return variables
    enc, bottleneck = part_of(variables, "encoder"), part_of(variables, "bottleneck")

    def one(x, observed, extras):
        seen = model.seen(x, observed)
        return encoder.apply(*enc, seen, observed=observed, extras=extras)[0]

    rows = batch.x, batch.observed, dict(batch.extras)
    features = jax.vmap(one, axis_name=BATCH_AXIS)(*rows)
    params, state = model.bottleneck.start(*bottleneck, features, key)
    put = lambda trees, tree: {**trees, "bottleneck": tree} if tree else trees
    return Variables(put(variables.params, params), put(variables.state, state))


def encode(
    model: Any,
    variables: Variables,
    x: Array,
    key: PRNGKey | None = None,
    observed: Array | None = None,
    extras: dict[str, Array] | None = None,
    info: dict[str, Array] | None = None,
) -> Array:
    """The code of each example, `[b, *latent]`: the posterior mean, or a sample with a key.

    Args:
      model: an Autoencoder.
      variables: the encoder's and bottleneck's suffice.
      x: `[b, *event]`.
      key: one typed key for the whole batch; None for the mean.
      observed: bool `[b, *event]`, or None.
      extras: each `[b, …]`.
      info: see `posterior`.
    """
    posterior = model.posterior(variables, x, observed, extras, info)
    bottleneck = part_of(variables, "bottleneck")
    if key is None:
        return jax.vmap(lambda q: model.bottleneck.latent(*bottleneck, q, None))(posterior)
    keys = jax.vmap(fused_random.fold_in, in_axes=(None, 0))(key, jnp.arange(x.shape[0]))
    return jax.vmap(lambda q, k: model.bottleneck.latent(*bottleneck, q, k))(posterior, keys)
