"""A plan whose numbers are arguments: its parts are built anew wherever it is traced.

So nothing is closed over as a constant, and one program serves members with other numbers.
"""

import copy
import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from ae_jax import _registry as registry
from ae_jax.config.sections import Config
from ae_jax.critics import as_critic
from ae_jax.objective import from_config as objective_from_config
from ae_jax.recipes import players as players_lib
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs import planning
from ae_jax.training.plan import Plan
from ae_jax.types import Variables

PARTS = {
    "encoder": registry.NETWORKS,
    "decoder": registry.NETWORKS,
    "bottleneck": registry.BOTTLENECKS,
    "likelihood": registry.LIKELIHOODS,
}


def with_values(
    plan: Plan,
    values: Mapping[str, Any],
    optimizer: Any = None,
    shapes: Variables | None = None,
) -> Plan:
    """The plan with other numbers in some fields.

    Args:
      plan: of `planning.resolve`.
      values: by dotted path of the config; they may be traced.
      optimizer: in place of the config's section.
      shapes: of the variables of the plan's model; None: found anew.

    Returns:
      A Plan.
    """
    config = replaced(plan.config, values)
    recipe = recipe_with(plan.recipe, config, set(values))
    if any(path.startswith("model.") for path in values):
        shapes = None
    return planning.rebuilt(plan, config, recipe, optimizer, shapes)


def replaced(config: Config, values: Mapping[str, Any]) -> Config:
    """The config with other values in some fields, unchecked, since they may be traced."""
    sections: dict[str, Any] = {}
    for path, value in values.items():
        section, *rest = path.split(".")
        if section not in sections:
            sections[section] = _open(getattr(config, section))
        inner = sections[section]
        for name in rest[:-1]:
            inner = inner[name]
        inner[rest[-1]] = value
    closed = {name: _closed(getattr(config, name), fields) for name, fields in sections.items()}
    return dataclasses.replace(config, **closed)


def _open(section: Any) -> dict[str, Any]:
    """A section's fields, to be changed."""
    if not dataclasses.is_dataclass(section):
        return copy.deepcopy(section)
    return {f.name: copy.deepcopy(getattr(section, f.name)) for f in dataclasses.fields(section)}


def _closed(before: Any, fields: dict[str, Any]) -> Any:
    return type(before)(**fields) if dataclasses.is_dataclass(before) else fields


def recipe_with(recipe: Recipe, config: Config, paths: Collection[str]) -> Recipe:
    """The recipe with those of its parts built anew that a path leads into."""
    touched = lambda prefix: any(path.startswith(f"{prefix}.") for path in paths)
    parts: dict[str, Any] = {}
    for name, kind in PARTS.items():
        if touched(f"model.{name}"):
            before = getattr(recipe, name).node  # of the first member: a traced number has no node
            built = kind.build(getattr(config.model, name))
            parts[name] = built if built.node is not None else registry.with_node(built, before)
    if touched("corruption"):
        parts["corruption"] = registry.CORRUPTIONS.build(config.corruption)
    if touched("model.critics"):
        nodes = dict(config.model.critics)
        parts["critics"] = {
            name: as_critic(nodes[name]) if touched(f"model.critics.{name}") else critic
            for name, critic in recipe.critics.items()
        }
    if touched("objective"):
        parts["objective"] = objective_from_config(config.objective)
    if touched("players"):
        parts["players"] = players_lib.from_config(config.players)
    return recipe._replace(**parts)
