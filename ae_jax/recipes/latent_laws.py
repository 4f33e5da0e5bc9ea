"""Variational autoencoders with other posteriors and priors than the Gaussian."""

from typing import Any

from ae_jax import bottlenecks, flows, priors, terms
from ae_jax.recipes._row import Latent, row
from ae_jax.recipes.recipe import Recipe
from ae_jax.types import Bottleneck


def _elbo(bottleneck: Bottleneck, parts: dict[str, Any]) -> Recipe:
    return row(bottleneck, terms.reconstruction() + terms.kl(), parts)


def vamp_vae(latent_dim: Latent = 32, *, pseudo_inputs: int = 500, **parts: Any) -> Recipe:
    """The VAE whose prior is a mixture of its own posteriors (Tomczak & Welling 2018).

    Args:
      latent_dim: the size or shape of z.
      pseudo_inputs: how many learned inputs the prior is the posteriors of.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.vamp_vae(8, pseudo_inputs=100).bottleneck.latent_shape
      (8,)
    """
    return _elbo(bottlenecks.gaussian(latent_dim, priors.vamp(pseudo_inputs)), parts)


def gaussian_mixture_vae(latent_dim: Latent = 10, *, components: int = 10, **parts: Any) -> Recipe:
    """The VAE whose prior is a learned mixture of Gaussians (Jiang et al. 2017), for clusters.

    Args:
      latent_dim: the size or shape of z.
      components: components of the mixture.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.gaussian_mixture_vae(2, components=3).bottleneck.node.kwargs[0]
      ('latent_dim', 2)
    """
    return _elbo(bottlenecks.gaussian(latent_dim, priors.mixture(components)), parts)


def flow_prior_vae(latent_dim: int = 32, *, layers: int = 4, **parts: Any) -> Recipe:
    """The VAE whose prior is a masked autoregressive flow (Chen et al. 2017), for better samples.

    Args:
      latent_dim: the size of z.
      layers: layers of the flow.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.flow_prior_vae(8, layers=2).bottleneck.latent_shape
      (8,)
    """
    prior = priors.flow(flows.masked_autoregressive(layers))
    return _elbo(bottlenecks.gaussian(latent_dim, prior), parts)


def iaf_vae(latent_dim: int = 32, *, layers: int = 4, context: int = 32, **parts: Any) -> Recipe:
    """The VAE whose posterior is led through inverse autoregressive flows (Kingma et al. 2016).

    Args:
      latent_dim: the size of z.
      layers: layers of the flow.
      context: the size of what the encoder tells the flow beside μ and σ.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.iaf_vae(8, layers=2, context=16).bottleneck.feature_shape
      (32,)
    """
    flow = flows.inverse_autoregressive(layers)
    return _elbo(bottlenecks.flow(latent_dim, flow, context), parts)


def hamiltonian_vae(
    latent_dim: Latent = 32,
    *,
    leapfrog: int = 3,
    step_size: float = 0.05,
    beta: float = 0.5,
    **parts: Any,
) -> Recipe:
    """The Hamiltonian VAE (Caterini et al. 2018): samples led towards p(z | x) by its gradient.

    Args:
      latent_dim: size or shape of z.
      leapfrog: K, the steps; each costs one more pass through the decoder and back.
      step_size: ε at the start, of every dimension; below 0.5.
      beta: β₀ at the start, the inverse of the temperature that momenta begin at; below 1.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.hamiltonian_vae(8, leapfrog=5).objective
      Objective(1.0 · hamiltonian)
    """
    bottleneck = bottlenecks.hamiltonian(latent_dim, step_size, beta)
    return row(bottleneck, terms.hamiltonian(leapfrog=leapfrog), parts)


def hyperspherical_vae(latent_dim: Latent = 3, **parts: Any) -> Recipe:
    """The VAE on the unit sphere (Davidson et al. 2018, with the law of De Cao & Aziz 2020).

    Args:
      latent_dim: d of the space around the sphere, or `(…, d)` for a product of spheres.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.hyperspherical_vae(3).bottleneck.feature_shape
      (4,)
    """
    return _elbo(bottlenecks.hyperspherical(latent_dim), parts)


def poincare_vae(latent_dim: int = 2, *, curvature: float = 1.0, **parts: Any) -> Recipe:
    """The VAE on the Poincaré ball, for data that branch (Mathieu et al. 2019).

    Args:
      latent_dim: dimension of the ball.
      curvature: c of the ball of curvature -c.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.poincare_vae(2).bottleneck.latent_shape
      (2,)
    """
    return _elbo(bottlenecks.poincare(latent_dim, curvature), parts)
