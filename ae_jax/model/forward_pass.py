"""One pass over a batch: corrupt → encode → bottleneck → decode, mapped over the examples.

`forward` is a method of `Autoencoder`: a model is its first argument.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ae_jax import keys as keys_lib
from ae_jax.distributions import conditioned
from ae_jax.model.assembly import part_of
from ae_jax.ops import random as fused_random
from ae_jax.types import (
    BATCH_AXIS,
    Array,
    Batch,
    Outputs,
    Told,
    Tree,
    Variables,
)

T = TypeVar("T")


def forward(
    model: Any,
    variables: Variables,
    batch: Batch,
    keys: keys_lib.ExampleKeys,
    *,
    samples: int = 1,
    train: bool = False,
) -> tuple[Outputs, dict[str, Tree]]:
    """One pass over a batch, with latent samples.

    Args:
      model: an Autoencoder.
      variables: params and state.
      batch: x is `[b, *event]`.
      keys: one key an example and stream, `[b]`.
      samples: k, latent samples an example.
      train: whether dropout and batch statistics are those of training.

    Returns:
      Outputs, and what training collects on the way: under "state" the coders' new state by
      part, under "bottleneck" the sums of the bottleneck's statistics over valid examples.
    """
    if model.encoder is None:
        return _generated(model, variables, batch, keys, samples, train)
    enc, (params, state) = part_of(variables, "encoder"), part_of(variables, "bottleneck")
    encoder = model.encoder
    likelihood_params, _ = part_of(variables, "likelihood")
    prior = model.prior(variables)

    def one(x, observed, extras, keys):
        corrupted, info = model.corruption(keys.corruption, x, observed)
        options = {"observed": observed, "extras": extras, "info": info, "train": train}
        features, activations, enc_state = encoder.apply(
            *enc,
            model.seen(corrupted, observed),
            key=fused_random.fold_in(keys.dropout, 0),
            **options,
        )
        posterior = model.bottleneck.posterior(params, state, features)
        active = getattr(posterior, "active", None)
        told = Told(x, observed, extras, info, active=active)

        def sampled(i):
            key = fused_random.fold_in(keys.latent, i)
            z, log_qz, level_kl, shown = model.draw(variables, posterior, key, train)
            sample_told = told._replace(key=fused_random.fold_in(keys.dropout, i + 1))
            how: dict[str, Any] = {"train": train, "shown": shown}
            y, hidden, dec_state = model.decode_one(variables, z, sample_told, **how)
            y = model.given(y, x, observed)
            log_px = model.likelihood.log_prob(likelihood_params, y, x, observed)
            pz = None if log_qz is None else conditioned(prior, extras)
            log_pz = None if pz is None else pz.log_prob(z)
            return (z, y, log_px, log_qz, log_pz), level_kl, hidden, dec_state

        drawn, level_kl, hidden, dec_state = _each(sampled, samples)
        activations |= {f"decoder/{name}": value for name, value in hidden.items()}
        outputs = Outputs(corrupted, info, posterior, *drawn, activations, level_kl)
        dec_state = jax.tree.map(lambda s: jnp.mean(s, axis=0, dtype=s.dtype), dec_state)
        stats = model.bottleneck.stats(state, posterior, drawn[0])
        return outputs, {"encoder": enc_state, "decoder": dec_state}, stats

    outputs, coders, stats = jax.vmap(one, axis_name=BATCH_AXIS, out_axes=(0, None, 0))(
        batch.x, batch.observed, dict(batch.extras), keys
    )
    coders = {name: tree for name, tree in coders.items() if jax.tree.leaves(tree)}
    return outputs, {"state": coders, "bottleneck": _sum_valid(stats, batch.valid)}


def _generated(
    model: Any,
    variables: Variables,
    batch: Batch,
    keys: keys_lib.ExampleKeys,
    samples: int,
    train: bool,
) -> tuple[Outputs, dict[str, Tree]]:
    """`forward` without an encoder: a batch of z from the prior, decoded."""
    prior: Any = model.prior(variables)

    def one(x, extras, keys):
        def sampled(i):
            z = conditioned(prior, extras).sample(fused_random.fold_in(keys.latent, i))
            told = Told(extras=extras, key=fused_random.fold_in(keys.dropout, i + 1))
            y, hidden, state = model.decode_one(variables, z, told, train=train)
            return (z, y), hidden, state

        (z, y), hidden, state = _each(sampled, samples)
        hidden = {f"decoder/{name}": value for name, value in hidden.items()}
        state = jax.tree.map(lambda s: jnp.mean(s, axis=0, dtype=s.dtype), state)
        return Outputs(x, {}, None, z, y, None, None, None, hidden), state

    outputs, state = jax.vmap(one, axis_name=BATCH_AXIS, out_axes=(0, None))(
        batch.x, dict(batch.extras), keys
    )
    collected = {"decoder": state} if jax.tree.leaves(state) else {}
    return outputs, {"state": collected, "bottleneck": {}}


def _each(sampled: Callable[[Array], T], samples: int) -> T:
    """`sampled(i)` for every i below `samples`, stacked."""
    if samples > 1:
        return jax.vmap(sampled)(jnp.arange(samples))
    # An axis of one keeps XLA:CPU from vectorising reductions: up to seven times slower.
    return jax.tree.map(lambda leaf: leaf[None], sampled(jnp.int32(0)))


def _sum_valid(stats: Tree, valid: Array | None) -> Tree:
    def total(leaf):
        if valid is not None:
            leaf = jnp.where(valid.reshape((-1,) + (1,) * (leaf.ndim - 1)), leaf, 0)
        return jnp.sum(leaf, axis=0)

    return jax.tree.map(total, stats)
