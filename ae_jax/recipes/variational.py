"""Variational autoencoders: bounds, weights and schedules over a Gaussian code."""

from typing import Any

from ae_jax import bottlenecks, likelihoods, schedules, terms
from ae_jax.errors import require_positive
from ae_jax.recipes._row import Latent, row
from ae_jax.recipes.recipe import Recipe


def vae(latent_dim: Latent = 32, *, beta: float = 1.0, **parts: Any) -> Recipe:
    """The variational autoencoder (Kingma & Welling 2014): -log p(x | z) + β KL(q ‖ p).

    Args:
      latent_dim: the size or shape of z.
      beta: the weight of the KL; 1 gives the ELBO.
      **parts: of the model, see `ae_jax.recipes`.
    """
    return row(bottlenecks.gaussian(latent_dim), terms.reconstruction() + beta * terms.kl(), parts)


def beta_vae(latent_dim: Latent = 10, *, beta: float = 4.0, **parts: Any) -> Recipe:
    """The β-VAE (Higgins et al. 2017): `vae` with a heavier KL."""
    return vae(latent_dim, beta=beta, **parts)


def annealed_vae(latent_dim: Latent = 32, *, steps: int = 10_000, **parts: Any) -> Recipe:
    """The VAE with its KL weight rising linearly from 0 to 1 over `steps` (Bowman et al. 2016)."""
    require_positive(steps=steps)
    rising = terms.kl(schedule=schedules.linear(0.0, 1.0, steps))
    return row(bottlenecks.gaussian(latent_dim), terms.reconstruction() + rising, parts)


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
      **parts: of the model, see `ae_jax.recipes`.
    """
    objective = terms.capacity(target=target, steps=steps, gamma=gamma)
    return row(bottlenecks.gaussian(latent_dim), terms.reconstruction() + objective, parts)


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
      **parts: of the model, see `ae_jax.recipes`.
    """
    regularisers = alpha * terms.mutual_information() + beta * terms.total_correlation()
    objective = terms.reconstruction() + regularisers + gamma * terms.dimension_wise_kl()
    return row(bottlenecks.gaussian(latent_dim), objective, parts)


def info_vae(
    latent_dim: Latent = 32, *, alpha: float = 0.0, scale: float = 1000.0, **parts: Any
) -> Recipe:
    """The InfoVAE (Zhao, Song & Ermon 2019): (1 - α) KL + (α + λ - 1) MMD.

    Args:
      latent_dim: the size or shape of z.
      alpha: α; 1 leaves the KL out.
      scale: λ.
      **parts: of the model, see `ae_jax.recipes`.
    """
    regularisers = (1 - alpha) * terms.kl() + (alpha + scale - 1) * terms.mmd()
    return row(bottlenecks.gaussian(latent_dim), terms.reconstruction() + regularisers, parts)


def iwae(latent_dim: Latent = 50, *, samples: int = 5, **parts: Any) -> Recipe:
    """The importance-weighted autoencoder (Burda et al. 2016) with k = `samples`."""
    return row(bottlenecks.gaussian(latent_dim), terms.iwae(samples=samples), parts)


def miwae(latent_dim: Latent = 50, *, samples: int = 16, groups: int = 4, **parts: Any) -> Recipe:
    """The mean of `groups` importance-weighted bounds (Rainforth et al. 2018)."""
    return row(bottlenecks.gaussian(latent_dim), terms.miwae(samples=samples, groups=groups), parts)


def ciwae(latent_dim: Latent = 50, *, samples: int = 5, beta: float = 0.5, **parts: Any) -> Recipe:
    """β ELBO + (1 - β) of the importance-weighted bound (Rainforth et al. 2018)."""
    return row(bottlenecks.gaussian(latent_dim), terms.ciwae(samples=samples, beta=beta), parts)


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
    return row(
        bottlenecks.gaussian(latent_dim), objective, {"likelihood": likelihoods.bernoulli()} | parts
    )


def dip_vae_i(latent_dim: Latent = 10, **parts: Any) -> Recipe:
    """DIP-VAE-I (Kumar et al. 2018): the ELBO and a penalty on the covariance of the means."""
    return row(
        bottlenecks.gaussian(latent_dim), terms.reconstruction() + terms.kl() + terms.dip_i(), parts
    )


def dip_vae_ii(latent_dim: Latent = 10, **parts: Any) -> Recipe:
    """DIP-VAE-II (Kumar et al. 2018): the ELBO and a penalty on the covariance of q(z)."""
    return row(
        bottlenecks.gaussian(latent_dim),
        terms.reconstruction() + terms.kl() + terms.dip_ii(),
        parts,
    )
