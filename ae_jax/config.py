"""A run's config: from a recipe and back, and checked against the fields that there are.

A config is a nested dict of plain values (in config files, an ml_collections ConfigDict). A part is
a node `{"name": …, argument: value, …}`; None leaves it to be chosen from the data. `DEFAULTS` has
every field; `ae_jax.fields` says what they mean.
"""

import copy
import os
import types
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ae_jax.errors import ConfigError, UnknownNameError, nearest, require_positive_ints
from ae_jax.fields import (
    CUSTOM,
    DEFAULTS,
    FREE_ON_RESUME,
    NULLABLE,
    OPEN,
    OPTIONAL,
    PARTS,
    POSITIVE,
    SMOKE,
)
from ae_jax.objective import Objective
from ae_jax.recipe import Recipe

OLD_COUNTS = ("negative_binomial", "poisson")
"""The likelihoods of counts that there were before networks read log(1 + x)."""


def for_recipe(recipe: Recipe) -> dict[str, Any]:
    """The default config with the sections `model`, `objective` and `corruption` of a recipe.

    Args:
      recipe: e.g. `ae_jax.recipes.vae(latent_dim=16)`.

    Returns:
      A nested dict to edit.

    Example:
      >>> import ae_jax as ae
      >>> config = ae.config.for_recipe(ae.recipes.vae(latent_dim=16))
      >>> config["model"]["bottleneck"]["latent_dim"]
      16
    """
    config = copy.deepcopy(DEFAULTS)
    config["model"] = {part: _node(getattr(recipe, part)) for part in PARTS}
    config["corruption"] = _node(recipe.corruption)
    objective = recipe.objective.to_config()
    config["objective"] = CUSTOM if objective is None else to_plain(objective)
    return config


def config_dict(recipe: Recipe) -> Any:
    """`for_recipe` as an ml_collections ConfigDict, for config files.

    Lists are tuples and None has a type, so that every field can be set on the command line.
    """
    from ml_collections import config_dict

    config: Any = config_dict.ConfigDict(_tuples(for_recipe(recipe)))
    for section, fields in DEFAULTS.items():
        for name in OPTIONAL if isinstance(fields, Mapping) else ():
            if name in fields and fields[name] is None:
                config[section][name] = config_dict.placeholder(OPTIONAL[name])
    for axis in DEFAULTS["parallel"]["mesh"]:
        config.parallel.mesh[axis] = config_dict.placeholder(int)
    return config


def variant(config: Any, name: str) -> Any:
    """The variant of a config that `FILE:name` asks for.

    Args:
      config: of the experiment, edited in place.
      name: "" for the experiment itself, "smoke" for a run that ends in seconds, on the data of
        `data.stand_in` where the experiment's own have to be prepared first.

    Returns:
      The config.

    Raises:
      UnknownNameError: no such variant.
    """
    _require_variant(name)
    if name == "smoke":
        config["training"].update(SMOKE)
        short = config["optimizer"]["warmup_steps"], SMOKE["steps"] // 10
        config["optimizer"]["warmup_steps"] = min(short)
        stand_in = config["data"]["stand_in"]
        for field, value in {"spec": {}, **stand_in}.items() if stand_in else ():
            config["data"][field] = value
    return config


def sizes(name: str, full: Mapping[str, Any], smoke: Mapping[str, Any]) -> Any:
    """The numbers that a config file builds a variant from, where the experiment's are too large.

    Args:
      name: of the variant.
      full: the experiment's sizes by name: width, depth, batch_size, ….
      smoke: those of the smoke variant, under the same names.

    Returns:
      The sizes as attributes.

    Raises:
      UnknownNameError: no such variant.
      ConfigError: one of the two has a size that the other has not.

    Example:
      >>> import ae_jax as ae
      >>> ae.config.sizes("smoke", {"width": 768}, {"width": 32}).width
      32
    """
    _require_variant(name)
    if lone := set(full) ^ set(smoke):
        raise ConfigError(f"every variant needs the same sizes; only one has {sorted(lone)}")
    return types.SimpleNamespace(**(smoke if name == "smoke" else full))


def _require_variant(name: str) -> None:
    if name not in ("", "smoke"):
        raise UnknownNameError(f"no variant is called '{name}'{nearest(name, ['smoke'])}")


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with defaults filled in, checked field by field.

    Args:
      config: nested mappings; missing fields take their default.

    Returns:
      A plain nested dict.

    Raises:
      UnknownNameError: a section or field does not exist; the nearest is named.
      ConfigError: a value has the wrong type or sign.
    """
    result = _merge(DEFAULTS, to_plain(config), ())
    training = result["training"]
    for section, names in POSITIVE.items():
        require_positive_ints(**{f"{section}.{name}": result[section][name] for name in names})
    for section, name in (
        ("training", "steps_per_dispatch"),
        ("parallel", "devices"),
        ("evaluation", "batch_size"),
        ("pod", "batch_per_chip"),
        ("optimizer", "base_batch_size"),
    ):
        if (value := result[section][name]) is not None:
            require_positive_ints(**{f"{section}.{name}": value})
    for axis, size in result["parallel"]["mesh"].items():
        if size is not None:
            require_positive_ints(**{f"parallel.mesh.{axis}": size})
    workers = result["data"]["workers"]
    if workers < 0:
        raise ConfigError(f"data.workers must not be negative, got {workers}")
    decay = training["average_decay"]
    if decay is not None and not 0 < decay < 1:
        raise ConfigError(
            f"training.average_decay must lie between 0 and 1, e.g. 0.999, got {decay}"
        )
    if (images := result["evaluation"]["images"]) < 0:
        raise ConfigError(f"evaluation.images must not be negative, got {images}; 0 draws none")
    if training["seed"] < 0:
        raise ConfigError(f"training.seed must not be negative, got {training['seed']}")
    return result


def recipe_of(config: Mapping[str, Any], need_objective: bool = True) -> Recipe:
    """The recipe that a config's sections describe.

    Args:
      config: complete.
      need_objective: if False, an objective that cannot be rebuilt becomes the empty one.

    Returns:
      A Recipe.

    Raises:
      ConfigError: a part was a Python object when the config was written.
    """
    nodes = {**config["model"], "corruption": config["corruption"]}
    custom = [name for name, node in nodes.items() if node == CUSTOM]
    objective = config["objective"]
    if objective == CUSTOM:
        custom += ["objective"] * need_objective
        objective = Objective()
    if custom:
        raise ConfigError(
            f"this run's {', '.join(custom)} came as Python objects, which config.json cannot "
            "rebuild: pass the same (model, objective), or name them 'package.module:function'"
        )
    return Recipe.from_nodes(objective=objective, **nodes)


def evaluation_batch_size(config: Mapping[str, Any]) -> int:
    """Examples that go through the model at once when nothing is trained."""
    training = config["training"]
    default = training["batch_size"] // training["accumulation"]
    return config["evaluation"]["batch_size"] or default


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[tuple[str, ...]] = ()
) -> list[str]:
    """What two complete configs disagree in, where a resumed run may not: `field: old -> new`.

    Args:
      old: of the run that is there.
      new: of the one to go on with.
      free: paths of further fields that may differ.
    """
    found: list[str] = []

    def walk(a, b, path):
        if path in FREE_ON_RESUME or path in free:
            return
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            for key in sorted(set(a) | set(b)):
                walk(a.get(key), b.get(key), (*path, key))
        elif a != b:
            found.append(f"{'.'.join(path)}: {a!r} -> {b!r}")

    walk(complete(old), to_plain(new), ())  # an older config lacks the fields that came later
    return found


def of_older(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stored config with what went without saying when it was written said.

    Args:
      config: as config.json holds it.

    Returns:
      The config; likelihoods of counts that name no `view` get "identity" and the mean 1: their
      networks were trained on the counts as they are.
    """

    def said(node):
        if isinstance(node, list):
            return [said(item) for item in node]
        if not isinstance(node, Mapping):
            return node
        node = {key: said(value) for key, value in node.items()}
        old = node.get("name") in OLD_COUNTS and "view" not in node
        return node | {"view": "identity", "mean": 1.0} if old else node

    model = config.get("model", {})
    likelihood = {"likelihood": said(model["likelihood"])} if "likelihood" in model else {}
    return {**config, "model": {**model, **likelihood}}


def to_plain(value: Any) -> Any:
    """Mappings (ConfigDicts too) as dicts, tuples as lists, NumPy's scalars as Python's."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _node(part: Any) -> Any:
    if part is None:
        return None
    node = getattr(part, "node", None)
    return CUSTOM if node is None else to_plain(node)


def _merge(default: Any, value: Any, path: tuple[str, ...]) -> Any:
    if path in OPEN:
        return copy.deepcopy(value)
    where = ".".join(path) or "config"
    if isinstance(default, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is a section, got {value!r}")
        for key in value:
            if key not in default:
                raise UnknownNameError(f"{where} has no field '{key}'{nearest(key, default)}")
        return {
            key: _merge(item, value[key], (*path, key)) if key in value else copy.deepcopy(item)
            for key, item in default.items()
        }
    expected = OPTIONAL.get(path[-1], type(default)) if default is None else type(default)
    if value is None and (default is None or path in NULLABLE):
        return None
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{where} must be of type {expected.__name__}, got {value!r}")
    return value
