"""Variational autoencoders whose training goes in stages: by cycles, in turns, with a second."""

from typing import Any

from ae_jax import bottlenecks, likelihoods, schedules, terms
from ae_jax.recipes._row import Latent, row
from ae_jax.recipes.players import MAIN
from ae_jax.recipes.recipe import Recipe
from ae_jax.recipes.variational import vae
from ae_jax.types import Player


def cyclical_vae(
    latent_dim: Latent = 32, *, period: int = 2_500, cycles: int = 4, **parts: Any
) -> Recipe:
    """The VAE with a KL weight that rises from 0 to 1 again and again (Fu et al. 2019).

    Args:
      latent_dim: size or shape of z.
      period: the training steps of a cycle; in its first half the weight rises.
      cycles: how many there are; then the weight is 1.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> kl = ae.recipes.cyclical_vae(16, period=1_000).objective.terms[1]
      >>> [float(kl.schedule(step)) for step in (0, 250, 500, 1_000)]
      [0.0, 0.5, 1.0, 0.0]
    """
    rising = terms.kl(schedule=schedules.cyclical(period, cycles))
    return row(bottlenecks.gaussian(latent_dim), terms.reconstruction() + rising, parts)


def aggressive_vae(latent_dim: Latent = 32, *, every: int = 10, **parts: Any) -> Recipe:
    """The VAE whose encoder takes several steps to one of its decoder (He et al. 2019).

    "Lagging inference networks and posterior collapse": an encoder that lags behind its decoder is
    what lets codes fall into disuse. The paper does so at first, until their mutual information
    rises no more: go on from there with `fit(ae.recipes.vae(…), init_from=…)`.

    Args:
      latent_dim: size or shape of z.
      every: the steps of the encoder to one of all else.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> [(player.name, player.every) for player in ae.recipes.aggressive_vae(16).players]
      [('encoder', 1), ('model', 10)]
    """
    recipe = vae(latent_dim, **parts)
    encoder = Player(("encoder",), recipe.objective, None, name="encoder")
    return recipe._replace(players=(encoder, Player((), None, None, every, MAIN)))


def two_stage_vae(latent_dim: Latent = 32, **parts: Any) -> Recipe:
    """The first of two VAEs (Dai & Wipf 2019): its likelihood's one variance is learned.

    As that falls, codes keep to fewer dimensions and away from the prior; a second VAE of the codes
    learns where they lie: `ae.samplers.fit(run, data, "second_stage_vae", codes="samples")`, for
    `run.sample(n, sampler=…)`.

    Args:
      latent_dim: size or shape of z.
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> dict(ae.recipes.two_stage_vae(16).likelihood.node.kwargs)["variance"]
      'global'
    """
    learned: dict[str, Any] = {"likelihood": likelihoods.gaussian(variance="global")}
    return vae(latent_dim, **learned | parts)
