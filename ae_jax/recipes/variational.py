"""Variational autoencoders: bounds, weights and schedules over a Gaussian code."""

from typing import Any

from ae_jax import bottlenecks, likelihoods, schedules, terms
from ae_jax.checks import require_positive
from ae_jax.recipes._row import Latent, row
from ae_jax.recipes.recipe import Recipe


def vae(latent_dim: Latent = 32, *, beta: float = 1.0, **parts: Any) -> Recipe:
    """The variational autoencoder (Kingma & Welling 2014): -log p(x | z) + β KL(q ‖ p).

    Args:
      latent_dim: size or shape of z.
      beta: weight of the KL; 1 gives the ELBO.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.vae(latent_dim=16).objective
      Objective(1.0 · reconstruction + 1.0 · kl)
    """
    return row(bottlenecks.gaussian(latent_dim), terms.reconstruction() + beta * terms.kl(), parts)


def beta_vae(latent_dim: Latent = 10, *, beta: float = 4.0, **parts: Any) -> Recipe:
    """The β-VAE (Higgins et al. 2017): `vae` with a heavier KL.

    Args:
      latent_dim: size or shape of z.
      beta: β, weight of the KL.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.beta_vae(10).objective
      Objective(1.0 · reconstruction + 4.0 · kl)
    """
    return vae(latent_dim, beta=beta, **parts)


def annealed_vae(latent_dim: Latent = 32, *, steps: int = 10_000, **parts: Any) -> Recipe:
    """The VAE with a KL weight that rises linearly from 0 to 1 (Bowman et al. 2016).

    Args:
      latent_dim: size or shape of z.
      steps: training steps over which the weight rises.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> kl = ae.recipes.annealed_vae(16, steps=1_000).objective.terms[1]
      >>> float(kl.schedule(250))
      0.25
    """
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
      latent_dim: size or shape of z.
      target: C at the end, in nats.
      steps: training steps over which C rises from 0.
      gamma: γ, weight of the distance from C.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.capacity_vae(10, target=5.0, steps=100).objective
      Objective(1.0 · reconstruction + 1.0 · capacity)
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
      latent_dim: size or shape of z.
      alpha: α, weight of the mutual information.
      beta: β, weight of the total correlation.
      gamma: γ, weight of the dimension-wise KL.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> [term.name for term in ae.recipes.beta_tcvae(10).objective.terms]
      ['reconstruction', 'mutual_information', 'total_correlation', 'dimension_wise_kl']
    """
    regularisers = alpha * terms.mutual_information() + beta * terms.total_correlation()
    objective = terms.reconstruction() + regularisers + gamma * terms.dimension_wise_kl()
    return row(bottlenecks.gaussian(latent_dim), objective, parts)


def info_vae(
    latent_dim: Latent = 32, *, alpha: float = 0.0, scale: float = 1000.0, **parts: Any
) -> Recipe:
    """The InfoVAE (Zhao, Song & Ermon 2019): (1 - α) KL + (α + λ - 1) MMD.

    Args:
      latent_dim: size or shape of z.
      alpha: α; 1 leaves the KL out.
      scale: λ, scale of the discrepancy.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.info_vae(8, alpha=0.5, scale=10.0).objective
      Objective(1.0 · reconstruction + 0.5 · kl + 9.5 · mmd)
    """
    regularisers = (1 - alpha) * terms.kl() + (alpha + scale - 1) * terms.mmd()
    return row(bottlenecks.gaussian(latent_dim), terms.reconstruction() + regularisers, parts)


def iwae(latent_dim: Latent = 50, *, samples: int = 5, **parts: Any) -> Recipe:
    """The importance-weighted autoencoder (Burda et al. 2016).

    On data with missing entries it is the MIWAE of Mattei & Frellsen (2019): encoders see 0 where
    nothing is observed, and only observed entries enter the bound. They take k = 20 and
    `ae.likelihoods.student_t(least=1e-3)`; `ae.evaluation.impute` then fills in.

    Args:
      latent_dim: size or shape of z.
      samples: k, latent samples an example.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.iwae(50, samples=5).objective
      Objective(1.0 · iwae)
    """
    return row(bottlenecks.gaussian(latent_dim), terms.iwae(samples=samples), parts)


def miwae(latent_dim: Latent = 50, *, samples: int = 16, groups: int = 4, **parts: Any) -> Recipe:
    """The mean of several importance-weighted bounds (Rainforth et al. 2018).

    For the MIWAE of missing data (Mattei & Frellsen 2019) see `iwae`.

    Args:
      latent_dim: size or shape of z.
      samples: latent samples an example, of all bounds together.
      groups: number of bounds; it divides the samples.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.miwae(50, samples=16, groups=4).objective
      Objective(1.0 · miwae)
    """
    return row(bottlenecks.gaussian(latent_dim), terms.miwae(samples=samples, groups=groups), parts)


def ciwae(latent_dim: Latent = 50, *, samples: int = 5, beta: float = 0.5, **parts: Any) -> Recipe:
    """β ELBO + (1 - β) of the importance-weighted bound (Rainforth et al. 2018).

    Args:
      latent_dim: size or shape of z.
      samples: latent samples an example.
      beta: β, in [0, 1]; 1 gives the ELBO.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.ciwae(50, beta=0.25).objective
      Objective(1.0 · ciwae)
    """
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

    x must lie in [0, 1].

    Args:
      latent_dim: size or shape of z.
      beta: weight of the KL.
      weight: weight of 1 - MS-SSIM.
      scales: weights of the scales of MS-SSIM; None: the published five, for sides of 176 on.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.ms_ssim_vae(16, scales=(0.5, 0.5)).objective
      Objective(100.0 · ms_ssim + 1.0 · kl)
    """
    objective = weight * terms.ms_ssim(weights=scales) + beta * terms.kl()
    return row(
        bottlenecks.gaussian(latent_dim), objective, {"likelihood": likelihoods.bernoulli()} | parts
    )


def dip_vae_i(latent_dim: Latent = 10, **parts: Any) -> Recipe:
    """DIP-VAE-I (Kumar et al. 2018): the ELBO and a penalty on the covariance of the means.

    Args:
      latent_dim: size or shape of z.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.dip_vae_i(10).objective
      Objective(1.0 · reconstruction + 1.0 · kl + 1.0 · dip_i)
    """
    return row(
        bottlenecks.gaussian(latent_dim), terms.reconstruction() + terms.kl() + terms.dip_i(), parts
    )


def dip_vae_ii(latent_dim: Latent = 10, **parts: Any) -> Recipe:
    """DIP-VAE-II (Kumar et al. 2018): the ELBO and a penalty on the covariance of q(z).

    Args:
      latent_dim: size or shape of z.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.dip_vae_ii(10).objective
      Objective(1.0 · reconstruction + 1.0 · kl + 1.0 · dip_ii)
    """
    return row(
        bottlenecks.gaussian(latent_dim),
        terms.reconstruction() + terms.kl() + terms.dip_ii(),
        parts,
    )
