"""From a recipe to the config that builds it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from ae_jax.config.plain import leaves, to_plain, tuples
from ae_jax.config.sections import CUSTOM, Config, Model, fields_of

PARTS = tuple(name for name in fields_of(Model) if name != "critics")


class Parts(Protocol):
    """What a config tells of a recipe: its parts, each with its node, and its objective."""

    @property
    def objective(self) -> Any:
        """The Objective."""
        ...

    @property
    def corruption(self) -> Any:
        """The corruption, or None."""
        ...

    @property
    def critics(self) -> Mapping[str, Any]:
        """The critics by name."""
        ...

    def players_section(self) -> dict[str, Any]:
        """The further players' section."""
        ...


def for_recipe(recipe: Parts, **sections: Mapping[str, Any]) -> dict[str, Any]:
    """The default config with the sections `model`, `objective` and `corruption` of a recipe.

    Args:
      recipe: e.g. `ae_jax.recipes.vae(latent_dim=16)`.
      **sections: fields of other sections, e.g. `training={"steps": 100}`.

    Returns:
      A nested dict to edit.

    Example:
      >>> import ae_jax as ae
      >>> config = ae.config.for_recipe(ae.recipes.vae(latent_dim=16))
      >>> config["model"]["bottleneck"]["latent_dim"]
      16
    """
    config = to_plain(Config())
    config["model"] = {part: _node(getattr(recipe, part)) for part in PARTS}
    config["model"]["critics"] = {name: _node(critic) for name, critic in recipe.critics.items()}
    config["players"] = recipe.players_section()
    config["corruption"] = _node(recipe.corruption)
    objective = recipe.objective.to_config()
    config["objective"] = CUSTOM if objective is None else to_plain(objective)
    for name, fields in sections.items():
        config[name] |= to_plain(fields)
    return config


def config_dict(recipe: Parts) -> Any:
    """`for_recipe` as an ml_collections ConfigDict, for config files.

    Lists are tuples and None has a type, so that every field can be set on the command line.
    """
    from ml_collections import config_dict

    config: Any = config_dict.ConfigDict(tuples(for_recipe(recipe)))
    for path, field in leaves(Config):
        if field.optional and field.default is None:
            *sections, name = path
            where = config
            for section in sections:
                where = where[section]
            where[name] = config_dict.placeholder(field.type)
    return config


def with_recipe(config: Config, recipe: Parts, preprocessing: Any) -> Config:
    """The config with a recipe's parts and preprocessing, where some were left to be chosen."""
    sections = for_recipe(recipe)
    return dataclasses.replace(
        config,
        model=Model(**sections["model"]),
        objective=sections["objective"],
        players=sections["players"],
        corruption=sections["corruption"],
        data=dataclasses.replace(config.data, preprocessing=to_plain(preprocessing)),
    )


def _node(part: Any) -> Any:
    if part is None:
        return None
    node = getattr(part, "node", None)
    return CUSTOM if node is None else to_plain(node)
