"""Variational autoencoders whose latents stand in levels, one above the other."""

from typing import Any

from ae_jax import bottlenecks, networks, schedules, terms
from ae_jax.bottlenecks.hierarchies import Levels, moments, states
from ae_jax.checks import require_positive
from ae_jax.objective import Objective
from ae_jax.recipes._row import row
from ae_jax.recipes.recipe import Recipe

ENCODERS = {1: networks.tapped_mlp, 3: networks.tapped_conv}
"""By the rank of the levels."""


def _networks(taps: Any, width: int, **options: Any) -> dict[str, Any]:
    """The encoder that these levels need, and of images the decoder."""
    rank, flat = len(taps[0]), [tap[0] if len(tap) == 1 else tap for tap in taps]
    decoders = {3: {"decoder": networks.deconv((width,))}}
    return {"encoder": ENCODERS[rank](flat, width=width, **options)} | decoders.get(rank, {})


def _kl(free_bits: float, schedule: Any = None) -> Objective:
    if free_bits:
        return terms.free_bits(threshold=free_bits, schedule=schedule)
    return terms.kl(schedule=schedule)


def ladder_vae(
    levels: Levels = (64, 32, 16, 8, 4),
    *,
    width: int = 128,
    warm_up: int = 10_000,
    free_bits: float = 0.0,
    **parts: Any,
) -> Recipe:
    """The Ladder VAE (Sønderby et al. 2016): a chain of latents, inferred from both its ends.

    Args:
      levels: sizes of the latents, the bottom's first, see `ae.bottlenecks.ladder`; a decoder of
        images with twice the positions of the bottom's is chosen for images.
      width: width of encoder and bottleneck.
      warm_up: training steps over which the KL's weight rises from 0 to 1.
      free_bits: λ, nats that each level may use at no cost (Kingma et al. 2016).
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> recipe = ae.recipes.ladder_vae((8, 4, 2))
      >>> [term.name for term in recipe.objective.terms], recipe.bottleneck.latent_shape
      (['reconstruction', 'kl'], (14,))
    """
    require_positive(warm_up=warm_up)
    objective = terms.reconstruction() + _kl(free_bits, schedules.linear(0.0, 1.0, warm_up))
    return row(
        bottlenecks.ladder(levels, width), objective, _networks(moments(levels), width) | parts
    )


def vdvae(
    levels: Levels = ((14, 14, 1), (7, 7, 2), (4, 4, 4)),
    *,
    width: int = 32,
    depth: int = 1,
    free_bits: float = 0.0,
    **parts: Any,
) -> Recipe:
    """A VAE of latents added from the top down (Child 2021), with the posteriors of NVAE.

    Those are relative to the priors (Vahdat & Kautz 2020). One latent a resolution.

    Args:
      levels: sizes of the latents, the bottom's first, see `ae.bottlenecks.top_down`; a decoder of
        images with twice the positions of the bottom's is chosen for images.
      width: width, or channels, of encoder, bottleneck and decoder.
      depth: layers, or residual blocks, of encoder and bottleneck between two levels.
      free_bits: λ, nats that each level may use at no cost (Kingma et al. 2016).
      **parts: encoder, decoder, likelihood and corruption, see `ae_jax.recipes`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.vdvae(((4, 4, 2), (2, 2, 4)), free_bits=1.0).objective
      Objective(1.0 · reconstruction + 1.0 · free_bits)
    """
    objective = terms.reconstruction() + _kl(free_bits)
    bottleneck = bottlenecks.top_down(levels, width, depth)
    chosen = _networks(states(levels, width), width, depth=depth)
    return row(bottleneck, objective, chosen | parts)
