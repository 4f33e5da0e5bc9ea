"""Autoencoders whose codes are entries of a codebook."""

from typing import Any

from ae_jax import bottlenecks, likelihoods, terms
from ae_jax.recipes._row import Latent, row
from ae_jax.recipes.recipe import Recipe


def vq_vae(
    latent_dim: Latent = (8, 8),
    *,
    num_codes: int = 512,
    beta: float = 0.25,
    decay: float | None = 0.99,
    **parts: Any,
) -> Recipe:
    """The VQ-VAE (van den Oord et al. 2017): -log p(x | z) and β ‖z_e - sg[e]‖².

    Args:
      latent_dim: shape `(*positions, d)`, with codes of size d.
      num_codes: number of codes in the codebook.
      beta: β, weight of the commitment.
      decay: decay of the codebook's moving averages; None: a codebook learned by ‖sg[z_e] - e‖².
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.vq_vae((7, 7, 16), num_codes=64).objective
      Objective(1.0 · reconstruction + 0.25 · commitment)
    """
    parts = {"likelihood": likelihoods.gaussian()} | parts
    objective = terms.reconstruction() + beta * terms.commitment()
    if decay is None:
        objective = objective + terms.codebook()
    return row(bottlenecks.vector_quantized(latent_dim, num_codes, decay), objective, parts)
