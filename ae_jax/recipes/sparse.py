"""Autoencoders whose codes are sparse."""

import math
from typing import Any

from ae_jax import bottlenecks, terms
from ae_jax.recipes._row import Latent, row
from ae_jax.recipes.recipe import Recipe


def sparse(
    latent_dim: Latent = 256, *, rho: float = 0.05, weight: float = 1.0, **parts: Any
) -> Recipe:
    """The sparse autoencoder (Ng 2011): sigmoid units and λ Σ KL(ρ ‖ ρ̂).

    Args:
      latent_dim: number of units.
      rho: ρ, mean activation aimed at, in (0, 1).
      weight: λ, weight of the penalty.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.sparse(64, weight=0.1).objective
      Objective(1.0 · reconstruction + 0.1 · sparsity)
    """
    objective = terms.reconstruction() + weight * terms.sparsity(rho=rho)
    return row(bottlenecks.sparse(latent_dim), objective, parts)


def topk(
    latent_dim: Latent = 256,
    *,
    k: int = 16,
    weight: float = 1 / 32,
    dead_k: int | None = None,
    dead_after: int = 100_000,
    **parts: Any,
) -> Recipe:
    """The k-sparse autoencoder with dead-unit auxiliary: ½ ‖e‖² + ½ α ‖e - ê‖² (Gao et al. 2024).

    Args:
      latent_dim: number of units.
      k: units that an example may use.
      weight: α, weight of the auxiliary loss; 0 gives Makhzani & Frey (2014) with ReLU units.
      dead_k: dead units that stand in for what is missing; None: twice k.
      dead_after: examples without use after which a unit is dead.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> recipe = ae.recipes.topk(64, k=4, weight=0.25)
      >>> recipe.objective
      Objective(1.0 · reconstruction + 0.125 · dead_units)
    """
    bottleneck = bottlenecks.topk(latent_dim, k, dead_after=dead_after)
    dead_k = min(2 * k, math.prod(bottleneck.latent_shape)) if dead_k is None else dead_k
    objective = terms.reconstruction() + 0.5 * weight * terms.dead_units(k=dead_k)
    return row(bottleneck, objective, parts)
