"""What every named autoencoder is: a bottleneck, an objective, and parts that may be left out."""

from typing import Any

from ae_jax.objective import Objective
from ae_jax.recipes.recipe import Recipe
from ae_jax.types import Bottleneck

Latent = int | tuple[int, ...]


def row(bottleneck: Bottleneck, objective: Objective, parts: dict[str, Any]) -> Recipe:
    """The recipe of a bottleneck and an objective."""
    return Recipe.from_nodes(bottleneck=bottleneck, objective=objective, **parts)
