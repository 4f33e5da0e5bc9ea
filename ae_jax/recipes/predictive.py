"""Encoders that learn by predicting features of what they do not see."""

from collections.abc import Sequence
from typing import Any

from ae_jax import bottlenecks, corruptions, likelihoods, networks, terms
from ae_jax.critics import critic, teacher
from ae_jax.recipes._row import Latent
from ae_jax.recipes.players import MAIN
from ae_jax.recipes.recipe import Recipe
from ae_jax.types import Player


def i_jepa(
    latent_dim: Latent = (49, 128),
    *,
    patch: int | Sequence[int] = 4,
    rate: float = 0.6,
    decay: float = 0.996,
    **parts: Any,
) -> Recipe:
    """I-JEPA (Assran et al. 2023): a teacher's features of hidden blocks, from what is visible.

    Encoder and predictor learn from the features alone. The decoder learns beside them to show what
    a code holds, of unit variance, and nothing of it reaches the encoder. `encode` sees every
    patch; the paper's evaluations are of the teacher, `run.variables.state["teacher"]`.

    Args:
      latent_dim: shape `(n, d)`, a vector for each of the n patches.
      patch: sides of a patch, or one number for all.
      rate: part of the patches that is hidden and predicted.
      decay: m of the teacher's moving average; the paper lets it rise from 0.996 to 1.
      **parts: encoder, decoder, likelihood (without parameters), corruption, see `ae_jax.recipes`,
        and `predictor`, a network of codes.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> recipe = ae.recipes.i_jepa((49, 32))
      >>> recipe.objective, [player.name for player in recipe.players]
      (Objective(1.0 · feature_prediction), ['model', 'pixels'])
    """
    chosen = {
        "encoder": networks.vit(patch, mask_rate=rate, pool="none"),
        "decoder": networks.vit_decoder(patch, depth=1),
        "likelihood": likelihoods.gaussian(),
        "corruption": corruptions.patch_block_masking(patch, rate),
        "predictor": networks.transformer_decoder(),
    } | parts
    predictor = critic(chosen.pop("predictor"), "code", latent_dim)
    chosen["critics"] = {"predictor": predictor, "teacher": teacher(decay)}
    students = Player(("encoder", "predictor"), None, None, name=MAIN)
    shower = Player(("decoder",), terms.reconstruction(), None, name="pixels")
    chosen |= {"players": (students, shower), "bottleneck": bottlenecks.identity(latent_dim)}
    return Recipe.from_nodes(objective=terms.feature_prediction(), **chosen)
