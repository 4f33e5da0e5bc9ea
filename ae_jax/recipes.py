"""The table of named autoencoders: each is a row of parts and an objective, and nothing more.

Every function takes `**parts`: encoder, decoder, likelihood, corruption, as parts, names or config
nodes; those left out are chosen from the data. All return a `Recipe`.
"""

import math
from collections.abc import Sequence
from typing import Any

from ae_jax import bottlenecks, corruptions, likelihoods, networks, schedules, terms
from ae_jax.errors import require_positive
from ae_jax.objective import Objective
from ae_jax.recipe import Recipe
from ae_jax.types import Bottleneck

__all__ = [
    "Recipe",
    "annealed_vae",
    "autoencoder",
    "beta_tcvae",
    "beta_vae",
    "capacity_vae",
    "ciwae",
    "contractive",
    "denoising",
    "dip_vae_i",
    "dip_vae_ii",
    "info_vae",
    "iwae",
    "masked_autoencoder",
    "miwae",
    "ms_ssim_vae",
    "rae_gp",
    "rae_l2",
    "sparse",
    "topk",
    "vae",
    "vq_vae",
    "wae_mmd",
]

Latent = int | tuple[int, ...]


def _deterministic(bottleneck: Bottleneck, objective: Objective, parts: dict[str, Any]) -> Recipe:
    """With numbers under a Gaussian of unit variance: ½ Σ(x - x̂)² and a constant."""
    return Recipe.from_nodes(bottleneck=bottleneck, objective=objective, **parts)


def _variational(latent_dim: Latent, objective: Objective, parts: dict[str, Any]) -> Recipe:
    bottleneck = bottlenecks.gaussian(latent_dim)
    return Recipe.from_nodes(bottleneck=bottleneck, objective=objective, **parts)


def autoencoder(latent_dim: Latent = 32, **parts: Any) -> Recipe:
    """The plain autoencoder (Rumelhart, Hinton & Williams 1986): -log p(x | z) alone.

    Args:
      latent_dim: the size or shape of the code.
      **parts: see the module.
    """
    return _deterministic(bottlenecks.identity(latent_dim), terms.reconstruction(), parts)


def denoising(latent_dim: Latent = 32, **parts: Any) -> Recipe:
    """The denoising autoencoder (Vincent et al. 2010): the clean x from a corrupted one.

    Args:
      latent_dim: the size or shape of the code.
      **parts: see the module; `corruption` defaults to Gaussian noise of deviation 0.3 in the
        model's units.
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
    they are, not normalised by patch.

    Args:
      latent_dim: `(n, d)`, a vector for each of the n patches, or `(*grid, d)`.
      patch: a patch's sides, or one number for all.
      rate: the part of the patches that is hidden.
      **parts: see the module; networks of your own take `patch` and `mask_rate` as here.
    """
    parts = {
        "encoder": networks.vit(patch, mask_rate=rate, pool="none"),
        "decoder": networks.vit_decoder(patch),
        "corruption": corruptions.patch_masking(patch, rate),
    } | parts
    bottleneck = bottlenecks.identity(latent_dim)
    return _deterministic(bottleneck, terms.masked_reconstruction(), parts)


def sparse(
    latent_dim: Latent = 256, *, rho: float = 0.05, weight: float = 1.0, **parts: Any
) -> Recipe:
    """The sparse autoencoder (Ng 2011): sigmoid units and λ Σ KL(ρ ‖ ρ̂).

    Args:
      latent_dim: the number of units.
      rho: ρ, the wanted mean activation.
      weight: λ.
      **parts: see the module.
    """
    objective = terms.reconstruction() + weight * terms.sparsity(rho=rho)
    return _deterministic(bottlenecks.sparse(latent_dim), objective, parts)


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
      latent_dim: the number of units.
      k: how many an example uses.
      weight: α, of the auxiliary loss; 0 gives Makhzani & Frey (2014) with ReLU units.
      dead_k: how many dead units stand in for what is missing; None: twice k.
      dead_after: examples without use after which a unit is dead.
      **parts: see the module.
    """
    bottleneck = bottlenecks.topk(latent_dim, k, dead_after=dead_after)
    dead_k = min(2 * k, math.prod(bottleneck.latent_shape)) if dead_k is None else dead_k
    objective = terms.reconstruction() + 0.5 * weight * terms.dead_units(k=dead_k)
    return _deterministic(bottleneck, objective, parts)


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
      latent_dim: `(*positions, d)`, with codes of size d.
      num_codes: of the codebook.
      beta: β, the weight of the commitment.
      decay: of the codebook's moving averages; None: a codebook learned by ‖sg[z_e] - e‖².
      **parts: see the module.
    """
    parts = {"likelihood": likelihoods.gaussian()} | parts
    objective = terms.reconstruction() + beta * terms.commitment()
    if decay is None:
        objective = objective + terms.codebook()
    return _deterministic(
        bottlenecks.vector_quantized(latent_dim, num_codes, decay), objective, parts
    )


def contractive(latent_dim: Latent = 32, *, weight: float = 0.1, **parts: Any) -> Recipe:
    """The contractive autoencoder (Rifai et al. 2011): λ ‖∂z/∂x‖²_F beside the reconstruction.

    Args:
      latent_dim: the size or shape of the code.
      weight: λ.
      **parts: see the module.
    """
    objective = terms.reconstruction() + weight * terms.contractive()
    return _deterministic(bottlenecks.identity(latent_dim), objective, parts)


def vae(latent_dim: Latent = 32, *, beta: float = 1.0, **parts: Any) -> Recipe:
    """The variational autoencoder (Kingma & Welling 2014): -log p(x | z) + β KL(q ‖ p).

    Args:
      latent_dim: the size or shape of z.
      beta: the weight of the KL; 1 gives the ELBO.
      **parts: see the module.
    """
    return _variational(latent_dim, terms.reconstruction() + beta * terms.kl(), parts)


def beta_vae(latent_dim: Latent = 10, *, beta: float = 4.0, **parts: Any) -> Recipe:
    """The β-VAE (Higgins et al. 2017): `vae` with a heavier KL."""
    return vae(latent_dim, beta=beta, **parts)


def annealed_vae(latent_dim: Latent = 32, *, steps: int = 10_000, **parts: Any) -> Recipe:
    """The VAE with its KL weight rising linearly from 0 to 1 over `steps` (Bowman et al. 2016)."""
    require_positive(steps=steps)
    rising = terms.kl(schedule=schedules.linear(0.0, 1.0, steps))
    return _variational(latent_dim, terms.reconstruction() + rising, parts)


def capacity_vae(
    latent_dim: Latent = 10,
    *,
    target: float = 25.0,
    steps: int = 100_000,
    gamma: float = 1000.0,
    **parts: Any,
) -> Recipe:
    """The VAE of controlled capacity (Burgess et al. 2018): γ |KL - C|, C rising to `target` nats.

    Args:
      latent_dim: the size or shape of z.
      target: C at the end.
      steps: over which C rises from 0.
      gamma: γ.
      **parts: see the module.
    """
    objective = terms.capacity(target=target, steps=steps, gamma=gamma)
    return _variational(latent_dim, terms.reconstruction() + objective, parts)


def beta_tcvae(
    latent_dim: Latent = 10,
    *,
    alpha: float = 1.0,
    beta: float = 6.0,
    gamma: float = 1.0,
    **parts: Any,
) -> Recipe:
    """The β-TCVAE (Chen et al. 2018): α I(x; z) + β TC(z) + γ Σ KL(q(z_j) ‖ p(z_j)).

    Args:
      latent_dim: the size or shape of z.
      alpha: the weight of the mutual information.
      beta: of the total correlation.
      gamma: of the dimension-wise KL.
      **parts: see the module.
    """
    regularisers = alpha * terms.mutual_information() + beta * terms.total_correlation()
    objective = terms.reconstruction() + regularisers + gamma * terms.dimension_wise_kl()
    return _variational(latent_dim, objective, parts)


def info_vae(
    latent_dim: Latent = 32, *, alpha: float = 0.0, scale: float = 1000.0, **parts: Any
) -> Recipe:
    """The InfoVAE (Zhao, Song & Ermon 2019): (1 - α) KL + (α + λ - 1) MMD.

    Args:
      latent_dim: the size or shape of z.
      alpha: α; 1 leaves the KL out.
      scale: λ.
      **parts: see the module.
    """
    regularisers = (1 - alpha) * terms.kl() + (alpha + scale - 1) * terms.mmd()
    return _variational(latent_dim, terms.reconstruction() + regularisers, parts)


def wae_mmd(latent_dim: Latent = 32, *, weight: float = 100.0, **parts: Any) -> Recipe:
    """The Wasserstein autoencoder with MMD (Tolstikhin et al. 2018): λ MMD²(q(z), p(z)).

    Args:
      latent_dim: the size or shape of z.
      weight: λ.
      **parts: see the module.
    """
    bottleneck = bottlenecks.identity(latent_dim, prior="standard_normal")
    return _deterministic(bottleneck, terms.reconstruction() + weight * terms.mmd(), parts)


def iwae(latent_dim: Latent = 50, *, samples: int = 5, **parts: Any) -> Recipe:
    """The importance-weighted autoencoder (Burda et al. 2016) with k = `samples`."""
    return _variational(latent_dim, terms.iwae(samples=samples), parts)


def miwae(latent_dim: Latent = 50, *, samples: int = 16, groups: int = 4, **parts: Any) -> Recipe:
    """The mean of `groups` importance-weighted bounds (Rainforth et al. 2018)."""
    return _variational(latent_dim, terms.miwae(samples=samples, groups=groups), parts)


def ciwae(latent_dim: Latent = 50, *, samples: int = 5, beta: float = 0.5, **parts: Any) -> Recipe:
    """β ELBO + (1 - β) of the importance-weighted bound (Rainforth et al. 2018)."""
    return _variational(latent_dim, terms.ciwae(samples=samples, beta=beta), parts)


def rae_l2(
    latent_dim: Latent = 32, *, beta: float = 1e-2, weight: float = 1e-4, **parts: Any
) -> Recipe:
    """The regularised autoencoder (Ghosh et al. 2020): β ½‖z‖² + λ Σ w² over the decoder.

    Args:
      latent_dim: the size or shape of the code.
      beta: β.
      weight: λ.
      **parts: see the module.
    """
    regularisers = beta * terms.latent_l2() + weight * terms.weight_l2(of="decoder")
    objective = terms.reconstruction() + regularisers
    return _deterministic(bottlenecks.identity(latent_dim), objective, parts)


def rae_gp(
    latent_dim: Latent = 32, *, beta: float = 1e-2, weight: float = 1e-3, **parts: Any
) -> Recipe:
    """The regularised autoencoder with a gradient penalty: β ½‖z‖² + λ ‖∂x̂/∂z‖²_F."""
    regularisers = beta * terms.latent_l2() + weight * terms.decoder_gradient()
    objective = terms.reconstruction() + regularisers
    return _deterministic(bottlenecks.identity(latent_dim), objective, parts)


def ms_ssim_vae(
    latent_dim: Latent = 32,
    *,
    beta: float = 1.0,
    weight: float = 100.0,
    scales: tuple[float, ...] | None = None,
    **parts: Any,
) -> Recipe:
    """The VAE with a perceptual loss in place of the likelihood (Snell et al. 2017).

    Args:
      latent_dim: the size or shape of z.
      beta: the weight of the KL.
      weight: of 1 - MS-SSIM.
      scales: the weights of the scales of MS-SSIM; None: the published five, for sides of 176 on.
      **parts: see the module; x must lie in [0, 1].
    """
    objective = weight * terms.ms_ssim(weights=scales) + beta * terms.kl()
    return _variational(latent_dim, objective, {"likelihood": likelihoods.bernoulli()} | parts)


def dip_vae_i(latent_dim: Latent = 10, **parts: Any) -> Recipe:
    """DIP-VAE-I (Kumar et al. 2018): the ELBO and a penalty on the covariance of the means."""
    return _variational(latent_dim, terms.reconstruction() + terms.kl() + terms.dip_i(), parts)


def dip_vae_ii(latent_dim: Latent = 10, **parts: Any) -> Recipe:
    """DIP-VAE-II (Kumar et al. 2018): the ELBO and a penalty on the covariance of q(z)."""
    return _variational(latent_dim, terms.reconstruction() + terms.kl() + terms.dip_ii(), parts)
