"""A law of a quantised latent's integers: each from those before it, by self-attention."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import networks
from ae_jax.checks import require_below_one, require_positive, require_positive_ints
from ae_jax.samplers import _training as training
from ae_jax.samplers.sampler import SAMPLERS, Sampler
from ae_jax.types import ENTRIES, Array, Coder, PRNGKey, Tree

BATCH = 64


@SAMPLERS.register
def code_transformer(
    width: int = 128,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.1,
    steps: int = 2000,
    learning_rate: float = 1e-3,
) -> Sampler:
    """p(n) = Π_t p(n_t | n_<t) over a run's integers, an autoregressive transformer (Vaswani 2017).

    The second stage of the VQ-VAE (van den Oord et al. 2017; Esser et al. 2021, "Taming
    transformers"): the grid of integers, flattened row by row with the levels or groups of a
    position side by side, is read by `ae.networks.transformer_decoder`, which is told the label at
    every position. Trained with Adam on a cosine by the cross-entropy of each integer given those
    before; of the states seen every 100 steps the one is kept that gives a held-out tenth of the
    codes the highest likelihood. Draws are ancestral, one position after the other with cached keys
    and values. `log_density` is exact, the log of a mass.

    Args:
      width: width of the blocks.
      depth: number of blocks.
      heads: heads of attention; they divide the width.
      dropout: rate of dropout in training.
      steps: of training, in batches of 64 codes; rounded up to a multiple of 100.
      learning_rate: at its start.

    Returns:
      A Sampler of integers, whose state holds "network", the transformer's parameters, "counts"
      `[d, size]`, how often each integer stood in each place, and "classes" `[classes, classes]`,
      the identity, whose rows the network is told.

    Raises:
      ConfigError: an option out of range; when fitted, DataError for fewer than 20 codes.

    Example:
      >>> import ae_jax as ae, jax, numpy as np
      >>> codes = np.random.default_rng(0).integers(3, size=(40, 2))
      >>> sampler = ae.samplers.code_transformer(width=8, depth=0, heads=2, steps=100)
      >>> state = sampler.fit(codes, jax.random.key(0), size=3)
      >>> sampler.log_prob(state, codes).shape
      (40,)
    """
    require_positive_ints(steps=steps)
    require_positive(learning_rate=learning_rate)
    require_below_one(dropout=dropout)
    shape = {"width": width, "depth": depth, "heads": heads, "dropout": dropout}

    def coder(places: int, size: int) -> Coder:
        network = networks.transformer_decoder(size, autoregressive=True, **shape)
        return network.bind((places, size))

    coder(1, 1)  # so that the options are checked here

    def log_mass(state: Tree, code: Array, label: Array, **how: Any) -> Array:
        told = state["classes"][label]
        apply = coder(*state["counts"].shape).apply
        logits, _, _ = apply(state["network"], {}, told, target=code, **how)
        return jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(logits), code[:, None], axis=1))

    def draw(state: Tree, key: PRNGKey, label: Array) -> Array:
        def entry(logits: Array, place: Array) -> Array:
            return jax.random.categorical(jax.random.fold_in(key, place), logits)

        told = state["classes"][label]
        apply = coder(*state["counts"].shape).apply
        _, activations, _ = apply(state["network"], {}, told, draw=entry)
        (entries,) = (value for name, value in activations.items() if name == ENTRIES)
        return entries.astype(jnp.int32)

    def estimate(codes: np.ndarray, labels: np.ndarray, key: PRNGKey, size: int) -> Tree:
        training.require_enough(codes, "a transformer over codes")
        first, order, draws = jax.random.split(key, 3)
        counts, classes = counted(codes, size), int(labels.max()) + 1
        fixed = {"counts": jnp.asarray(counts), "classes": jnp.eye(classes)}
        params, _ = coder(*counts.shape).init(first, jnp.zeros(classes))

        def loss(params: Tree, codes: Array, labels: Array, key: PRNGKey, done: Array) -> Array:
            del done
            dropping = jax.random.split(key, len(codes))
            state = {**fixed, "network": params}
            one = lambda code, label, k: log_mass(state, code, label, key=k, train=True)
            return -jnp.mean(jax.vmap(one)(codes, labels, dropping))

        def held_out(params: Tree, codes: Array, labels: Array) -> Array:
            one = lambda *row: -log_mass({**fixed, "network": params}, *row)
            return training.in_turn(one, codes, labels)

        rows = training.shuffled(codes, labels, order)
        how = {"steps": steps, "learning_rate": learning_rate, "batch": BATCH}
        best = training.minimise(loss, held_out, params, rows, draws, **how)
        return {**fixed, "network": best}

    return Sampler(estimate, draw, log_mass, integers=True)


def counted(codes: np.ndarray, size: int) -> np.ndarray:
    """How often each integer stands in each place of codes `[n, d]`: float32 `[d, size]`.

    Example:
      >>> counted(np.array([[0, 2], [1, 2]]), 3).tolist()
      [[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]]
    """
    return np.stack([np.bincount(place, minlength=size) for place in codes.T]).astype(np.float32)
