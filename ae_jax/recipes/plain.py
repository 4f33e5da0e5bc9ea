"""Deterministic autoencoders: plain, denoising, masked, regularised."""

from collections.abc import Sequence
from typing import Any

from ae_jax import bottlenecks, corruptions, networks, terms
from ae_jax.recipes._row import Latent, row
from ae_jax.recipes.recipe import Recipe


def autoencoder(latent_dim: Latent = 32, **parts: Any) -> Recipe:
    """The plain autoencoder (Rumelhart, Hinton & Williams 1986): -log p(x | z) alone.

    Args:
      latent_dim: size or shape of the code.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.autoencoder(latent_dim=8).objective
      Objective(1.0 · reconstruction)
    """
    return row(bottlenecks.identity(latent_dim), terms.reconstruction(), parts)


def denoising(latent_dim: Latent = 32, **parts: Any) -> Recipe:
    """The denoising autoencoder (Vincent et al. 2010): the clean x from a corrupted one.

    Unless another is given, the corruption is Gaussian noise of deviation 0.3 in the model's units.

    Args:
      latent_dim: size or shape of the code.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> recipe = ae.recipes.denoising(8, corruption=ae.corruptions.masking(0.25))
      >>> recipe.corruption.node.name
      'masking'
    """
    parts = {"corruption": corruptions.gaussian(0.3)} | parts
    return autoencoder(latent_dim, **parts)


def masked_autoencoder(
    latent_dim: Latent = (49, 128),
    *,
    patch: int | Sequence[int] = 4,
    rate: float = 0.75,
    **parts: Any,
) -> Recipe:
    """The masked autoencoder (He et al. 2022): hidden patches from the visible ones.

    The encoder sees those alone, the decoder a learned token in the place of each that is hidden,
    and the loss is -log p of what was hidden. `encode` sees every patch. Positions are learned and
    there is no class token: the patches' codes are to be averaged instead. Pixels are predicted as
    they are, not normalised by patch. Networks of your own take `patch` and `mask_rate` as here.

    Args:
      latent_dim: shape `(n, d)`, a vector for each of the n patches, or `(*grid, d)`.
      patch: sides of a patch, or one number for all.
      rate: part of the patches that is hidden.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> recipe = ae.recipes.masked_autoencoder((4, 4, 32), patch=7, rate=0.75)
      >>> recipe.objective
      Objective(1.0 · masked_reconstruction)
    """
    parts = {
        "encoder": networks.vit(patch, mask_rate=rate, pool="none"),
        "decoder": networks.vit_decoder(patch),
        "corruption": corruptions.patch_masking(patch, rate),
    } | parts
    bottleneck = bottlenecks.identity(latent_dim)
    return row(bottleneck, terms.masked_reconstruction(), parts)


def contractive(latent_dim: Latent = 32, *, weight: float = 0.1, **parts: Any) -> Recipe:
    """The contractive autoencoder (Rifai et al. 2011): λ ‖∂z/∂x‖²_F beside the reconstruction.

    Args:
      latent_dim: size or shape of the code.
      weight: λ, weight of the penalty.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.contractive(8, weight=0.5).objective
      Objective(1.0 · reconstruction + 0.5 · contractive)
    """
    objective = terms.reconstruction() + weight * terms.contractive()
    return row(bottlenecks.identity(latent_dim), objective, parts)


def wae_mmd(latent_dim: Latent = 32, *, weight: float = 100.0, **parts: Any) -> Recipe:
    """The Wasserstein autoencoder with MMD (Tolstikhin et al. 2018): λ MMD²(q(z), p(z)).

    Args:
      latent_dim: size or shape of z.
      weight: λ, weight of the discrepancy.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.wae_mmd(8, weight=10.0).objective
      Objective(1.0 · reconstruction + 10.0 · mmd)
    """
    bottleneck = bottlenecks.identity(latent_dim, prior="standard_normal")
    return row(bottleneck, terms.reconstruction() + weight * terms.mmd(), parts)


def rae_l2(
    latent_dim: Latent = 32, *, beta: float = 1e-2, weight: float = 1e-4, **parts: Any
) -> Recipe:
    """The regularised autoencoder (Ghosh et al. 2020): β ½‖z‖² + λ Σ w² over the decoder.

    Args:
      latent_dim: size or shape of the code.
      beta: β, weight of the codes' squares.
      weight: λ, weight of the decoder's squares.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.rae_l2(8, beta=0.1, weight=0.5).objective
      Objective(1.0 · reconstruction + 0.1 · latent_l2 + 0.5 · weight_l2)
    """
    regularisers = beta * terms.latent_l2() + weight * terms.weight_l2(of="decoder")
    objective = terms.reconstruction() + regularisers
    return row(bottlenecks.identity(latent_dim), objective, parts)


def rae_gp(
    latent_dim: Latent = 32, *, beta: float = 1e-2, weight: float = 1e-3, **parts: Any
) -> Recipe:
    """The regularised autoencoder (Ghosh et al. 2020), gradients held: β ½‖z‖² + λ ‖∂x̂/∂z‖²_F.

    Args:
      latent_dim: size or shape of the code.
      beta: β, weight of the codes' squares.
      weight: λ, weight of the gradient penalty.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.rae_gp(8, beta=0.1, weight=0.5).objective
      Objective(1.0 · reconstruction + 0.1 · latent_l2 + 0.5 · decoder_gradient)
    """
    regularisers = beta * terms.latent_l2() + weight * terms.decoder_gradient()
    objective = terms.reconstruction() + regularisers
    return row(bottlenecks.identity(latent_dim), objective, parts)
