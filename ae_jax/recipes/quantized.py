"""Autoencoders whose codes are integers: entries of a codebook, or points of a lattice.

All but `dvae` are given the Gaussian likelihood of unit variance, against which their weights are
to be read, unless another is asked for.
"""

from typing import Any

from ae_jax import bottlenecks, likelihoods, terms
from ae_jax.objective import Objective
from ae_jax.recipes._row import Latent, row
from ae_jax.recipes.recipe import Recipe
from ae_jax.types import Bottleneck


def _quantized(bottleneck: Bottleneck, regularisers: Objective, parts: dict[str, Any]) -> Recipe:
    parts = {"likelihood": likelihoods.gaussian()} | parts
    return row(bottleneck, terms.reconstruction() + regularisers, parts)


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
      >>> ae.recipes.vq_vae((4, 8), num_codes=64).objective
      Objective(1.0 · reconstruction + 0.25 · commitment)
    """
    regularisers = beta * terms.commitment()
    if decay is None:
        regularisers = regularisers + terms.codebook()
    bottleneck = bottlenecks.vector_quantized(latent_dim, num_codes, decay)
    return _quantized(bottleneck, regularisers, parts)


def rotation_vq_vae(
    latent_dim: Latent = (8, 8),
    *,
    num_codes: int = 512,
    beta: float = 1.0,
    decay: float = 0.99,
    **parts: Any,
) -> Recipe:
    """The VQ-VAE with the rotation trick (Fifty et al. 2024): gradients turned as codes are.

    Args:
      latent_dim: shape `(*positions, d)`, with codes of size d.
      num_codes: number of codes in the codebook.
      beta: β, weight of the commitment.
      decay: decay of the codebook's moving averages.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> dict(ae.recipes.rotation_vq_vae((4, 8)).bottleneck.node.kwargs)["rotation"]
      True
    """
    bottleneck = bottlenecks.vector_quantized(latent_dim, num_codes, decay, rotation=True)
    return _quantized(bottleneck, beta * terms.commitment(), parts)


def residual_vq_vae(
    latent_dim: Latent = (8, 8),
    *,
    levels: int = 4,
    num_codes: int = 256,
    beta: float = 0.25,
    decay: float = 0.99,
    dropout: float = 0.0,
    **parts: Any,
) -> Recipe:
    """Residual quantisation (Zeghidour et al. 2021; Lee et al. 2022): codes of what codes left.

    Args:
      latent_dim: shape `(*positions, d)`, with codes of size d.
      levels: number of codes a position.
      num_codes: number of codes in each level's codebook.
      beta: weight of the commitment, which is summed over levels.
      decay: decay of the codebooks' moving averages.
      dropout: probability that the last levels of an example are left out in training.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.residual_vq_vae((4, 8), levels=3).bottleneck.codes.shape
      (4, 3)
    """
    bottleneck = bottlenecks.residual_quantized(
        latent_dim, levels, num_codes, decay, dropout=dropout
    )
    return _quantized(bottleneck, beta * terms.commitment(), parts)


def sim_vq_vae(
    latent_dim: Latent = (8, 8), *, num_codes: int = 1024, beta: float = 0.25, **parts: Any
) -> Recipe:
    """The SimVQ autoencoder (Zhu et al. 2024): a codebook moved as a whole by one linear map.

    Args:
      latent_dim: shape `(*positions, d)`, with codes of size d.
      num_codes: number of codes in the codebook.
      beta: weight of the commitment.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.sim_vq_vae((4, 8)).objective
      Objective(1.0 · reconstruction + 1.0 · codebook + 0.25 · commitment)
    """
    regularisers = terms.codebook() + beta * terms.commitment()
    return _quantized(bottlenecks.sim_vq(latent_dim, num_codes), regularisers, parts)


def ibq_vae(
    latent_dim: Latent = (8, 8), *, num_codes: int = 1024, beta: float = 0.25, **parts: Any
) -> Recipe:
    """Index backpropagation (Shi et al. 2024): all codes have a part in the gradient.

    Args:
      latent_dim: shape `(*positions, d)`, with codes of size d.
      num_codes: number of codes in the codebook.
      beta: weight of the commitment.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.ibq_vae((4, 8)).objective
      Objective(1.0 · reconstruction + 1.0 · codebook + 0.25 · commitment)
    """
    regularisers = terms.codebook() + beta * terms.commitment()
    return _quantized(bottlenecks.ibq(latent_dim, num_codes), regularisers, parts)


def fsq_vae(
    latent_dim: Latent = (16, 4), *, levels: int | tuple[int, ...] = (8, 5, 5, 5), **parts: Any
) -> Recipe:
    """Finite scalar quantisation (Mentzer et al. 2023): rounding, and no other loss.

    Args:
      latent_dim: shape `(*positions, d)`.
      levels: number of levels of each of the d dimensions; one number goes for all.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.fsq_vae().bottleneck.codes.size
      1000
    """
    parts = {"likelihood": likelihoods.gaussian()} | parts
    return row(bottlenecks.fsq(latent_dim, levels), terms.reconstruction(), parts)


def lfq_vae(
    latent_dim: Latent = (16, 10),
    *,
    entropy: float = 0.1,
    gamma: float = 1.0,
    beta: float = 0.05,
    **parts: Any,
) -> Recipe:
    """Lookup-free quantisation (Yu et al. 2024): signs, decided each and used alike in all.

    Args:
      latent_dim: shape `(*positions, d)`, with 2^d codes a position.
      entropy: weight of the entropy of a code given x. The 0.1 of public implementations stands
        beside a squared error averaged over the n numbers of x; beside this one, halved and summed,
        it is 0.05 n / positions: 0.2 for digits at 16 positions, 2.5 for 28 × 28 pixels at 4 × 4.
        Too small a weight leaves most of a large codebook unused.
      gamma: weight, times `entropy`, of how far codes are from being used alike.
      beta: weight of the commitment.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.lfq_vae().bottleneck.codes.size
      1024
    """
    spread = terms.code_entropy() + gamma * terms.code_usage()
    regularisers = entropy * spread + beta * terms.commitment()
    return _quantized(bottlenecks.lfq(latent_dim), regularisers, parts)


def bsq_vae(
    latent_dim: Latent = (16, 10), *, entropy: float = 0.1, gamma: float = 1.0, **parts: Any
) -> Recipe:
    """Binary spherical quantisation (Zhao et al. 2024): signs of features of unit length.

    Args:
      latent_dim: shape `(*positions, d)`, with 2^d codes a position.
      entropy: weight of the entropy of a code given x; for its scale see `lfq_vae`.
      gamma: weight, times `entropy`, of how far codes are from being used alike.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.bsq_vae((4, 18)).bottleneck.codes.size
      262144
    """
    spread = terms.code_entropy() + gamma * terms.code_usage()
    return _quantized(bottlenecks.bsq(latent_dim), entropy * spread, parts)


def dvae(
    latent_dim: Latent = (8, 8),
    *,
    num_codes: int = 512,
    beta: float = 1.0,
    temperature: float = 1.0,
    final_temperature: float = 0.0625,
    anneal_steps: int = 10_000,
    **parts: Any,
) -> Recipe:
    """The discrete VAE (Jang et al. 2017; Ramesh et al. 2021): Gumbel-softmax codes and their KL.

    Args:
      latent_dim: shape `(*positions, d)`, with codes of size d.
      num_codes: number of codes in the codebook.
      beta: weight of the KL; 1 gives the ELBO, the second paper took 6.6.
      temperature: temperature of the relaxation at the start.
      final_temperature: temperature from `anneal_steps` on.
      anneal_steps: number of steps over which the temperature falls.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.dvae((4, 8), num_codes=64).bottleneck.feature_shape
      (4, 64)
    """
    cooling = temperature, final_temperature, anneal_steps
    bottleneck = bottlenecks.gumbel_softmax(latent_dim, num_codes, *cooling)
    return row(bottleneck, terms.reconstruction() + beta * terms.kl(), parts)
