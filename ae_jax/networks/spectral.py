"""Weights divided by their largest singular value, so that a network's slopes are bounded."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import NETWORKS
from ae_jax.types import Array, Coder, Network, Tree

FIRST_TURNS = 10
"""Of the power method before the first step; training adds one a step."""


@NETWORKS.register
def spectral(network: Any) -> Network:
    """Any network with each matrix W in it divided by its largest singular value σ(W).

    Spectral normalisation (Miyato et al. 2018): with dense layers and activations of slope 1 at
    most, no output changes by more than its input. σ is found by the power method, whose vectors
    are state and move by one turn a training step. Kernels of convolutions count as matrices
    `[height · width · in, out]`, as published.

    Args:
      network: Coder or Network, its name or config node.

    Returns:
      A Network.

    Raises:
      PartError: it is none.

    Example:
      >>> import ae_jax as ae
      >>> critic = ae.networks.spectral(ae.networks.mlp((64, 64), "leaky_relu"))
    """
    inner = NETWORKS.build(network)
    if isinstance(inner, Coder):
        return Network(lambda shape: _wrapped(inner))
    return Network(lambda shape: _wrapped(inner.bind(shape)))


def _wrapped(coder: Coder) -> Coder:
    @functools.wraps(coder.init)  # which arguments they take shows in their signatures
    def init(key, x, **options):
        params, state = coder.init(key, x, **options)
        draw = lambda i, w: _unit(jax.random.normal(jax.random.fold_in(key, i), w.shape[-1:]))
        vectors = {str(i): draw(i, w) for i, w in enumerate(_matrices(params))}
        for _ in range(FIRST_TURNS):
            vectors = _normalised(params, vectors)[1]
        return params, {"inner": state, "vectors": vectors}

    @functools.wraps(coder.apply)
    def apply(params, state, x, **options):
        weights, vectors = _normalised(params, state["vectors"])
        y, activations, inner = coder.apply(weights, state["inner"], x, **options)
        moved = vectors if options.get("train", False) else state["vectors"]
        return y, activations, {"inner": inner, "vectors": moved}

    return Coder(init, apply)


def _is_matrix(leaf: Any) -> bool:
    return jnp.ndim(leaf) >= 2


def _matrices(params: Tree) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(params) if _is_matrix(leaf)]


def _normalised(params: Tree, vectors: dict[str, Array]) -> tuple[Tree, dict[str, Array]]:
    """The parameters with normalised matrices, and the vectors after one more turn."""
    leaves, tree = jax.tree.flatten(params)
    moved, kernels, number = {}, [], 0
    for leaf in leaves:
        if not _is_matrix(leaf):
            kernels.append(leaf)
            continue
        matrix, name = leaf.reshape(-1, leaf.shape[-1]).astype(jnp.float32), str(number)
        fixed = jax.lax.stop_gradient(matrix)
        left = _unit(fixed @ vectors[name])
        moved[name] = right = _unit(fixed.T @ left)
        kernels.append((leaf / (left @ matrix @ right)).astype(leaf.dtype))
        number += 1
    return tree.unflatten(kernels), moved


def _unit(vector: Array) -> Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)
