"""A run's config: from a recipe and back, and checked against the fields that there are.

A config is written as nested mappings of plain values (in config files, an ml_collections
ConfigDict), of which `complete` makes a `Config`. A part is a node
`{"name": …, argument: value, …}`; None leaves it to be chosen from the data.
"""

import copy
import dataclasses
import os
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from ae_jax.checks import require_positive_ints
from ae_jax.config.sections import CUSTOM, SMOKE, Config, ConfigLike, Field, Model, fields_of
from ae_jax.errors import ConfigError, UnknownNameError, nearest

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

    config: Any = config_dict.ConfigDict(_tuples(for_recipe(recipe)))
    for path, field in _leaves(Config):
        if field.optional and field.default is None:
            *sections, name = path
            where = config
            for section in sections:
                where = where[section]
            where[name] = config_dict.placeholder(field.type)
    return config


def variant(config: Any, name: str, *others: str) -> Any:
    """The variant of a config that `FILE:name` asks for.

    Args:
      config: config of the experiment, edited in place.
      name: "" for the experiment itself, "smoke" for a run that ends in seconds, on the data of
        `data.stand_in` where the experiment's own have to be prepared first.
      *others: names of further variants, which the file has made by itself.

    Returns:
      The config.

    Raises:
      UnknownNameError: no such variant.

    Example:
      >>> import ae_jax as ae
      >>> config = ae.config.for_recipe(ae.recipes.vae(), training={"steps": 50_000})
      >>> ae.config.variant(config, "smoke")["training"]["steps"] < 1_000
      True
    """
    _require_variant(name, others)
    if name == "smoke":
        config["training"].update(SMOKE)
        short = config["optimizer"]["warmup_steps"], SMOKE["steps"] // 10
        config["optimizer"]["warmup_steps"] = min(short)
        stand_in = config["data"]["stand_in"]
        for field, value in {"spec": {}, **stand_in}.items() if stand_in else ():
            config["data"][field] = value
    return config


def sizes(
    name: str, full: Mapping[str, Any], smoke: Mapping[str, Any], **others: Mapping[str, Any]
) -> Any:
    """The numbers that a config file builds a variant from, where the experiment's are too large.

    Args:
      name: name of the variant.
      full: sizes of the experiment by name: width, depth, batch_size, ….
      smoke: sizes of the smoke variant, under the same names.
      **others: sizes of further variants by their name, under the same names.

    Returns:
      The sizes as attributes.

    Raises:
      UnknownNameError: no such variant.
      ConfigError: one of them has a size that the experiment has not, or the reverse.

    Example:
      >>> import ae_jax as ae
      >>> ae.config.sizes("smoke", {"width": 768}, {"width": 32}).width
      32
    """
    _require_variant(name, others)
    variants = {"": full, "smoke": smoke, **others}
    for other in variants.values():
        if lone := set(full) ^ set(other):
            raise ConfigError(f"every variant needs the same sizes; only one has {sorted(lone)}")
    return types.SimpleNamespace(**variants[name])


def _require_variant(name: str, others: Iterable[str] = ()) -> None:
    known = ["smoke", *others]
    if name and name not in known:
        raise UnknownNameError(f"no variant is called '{name}'{nearest(name, known)}")


def complete(config: ConfigLike) -> Config:
    """The config with defaults filled in, checked field by field.

    Args:
      config: nested mappings; missing fields take their default.

    Returns:
      A Config.

    Raises:
      UnknownNameError: a section or field does not exist; the nearest is named.
      ConfigError: a value has the wrong type or lies outside its bounds.
    """
    return config if isinstance(config, Config) else _section(Config, to_plain(config), ())


def with_model(config: Config, change: Callable[[Any], Any]) -> Config:
    """The config with its model section, as nested mappings, changed."""
    return dataclasses.replace(config, model=Model(**change(to_plain(config.model))))


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


def replaced(config: ConfigLike, overrides: Mapping[str, Any]) -> Config:
    """The config with other values in some fields.

    Args:
      config: left as it is.
      overrides: values by dotted path, e.g. `{"training.batch_size": 64}`.

    Returns:
      A Config.

    Raises:
      UnknownNameError: it has no such field; the nearest is named.
      ConfigError: a value has the wrong type or lies outside its bounds.
    """
    completed = to_plain(complete(config))
    for path, value in overrides.items():
        inner: Any = completed
        known: Any = Config
        *sections, field = path.split(".")
        for depth, section in enumerate(sections):
            known = _inner(inner, known, section, ".".join(sections[:depth]))
            inner = inner[section]
        if known is not Any or not isinstance(inner, dict):
            _inner(inner, known, field, ".".join(sections))
        inner[field] = copy.deepcopy(value)
    return complete(completed)


def _inner(inner: Any, known: Any, name: str, where: str) -> Any:
    """The class of a field of a section; Any within what is open to any value."""
    where = where or "the config"
    if not isinstance(inner, Mapping):
        raise ConfigError(f"{where} is {inner!r}, which has no fields, but '{name}' was asked for")
    names = inner if known is Any else fields_of(known)
    if name not in names:
        raise UnknownNameError(f"{where} has no field '{name}'{nearest(name, names)}")
    return Any if known is Any else fields_of(known)[name].type


def evaluation_batch_size(config: Config) -> int:
    """Examples that go through the model at once when nothing is trained."""
    microbatch = config.training.batch_size // config.training.accumulation
    return config.evaluation.batch_size or microbatch


def differences(
    old: ConfigLike, new: ConfigLike, free: Collection[tuple[str, ...]] = ()
) -> list[str]:
    """What two configs disagree in, where a resumed run may not: `field: old -> new`.

    Args:
      old: config that the workdir holds.
      new: config to go on with.
      free: paths of further fields that may differ.
    """
    old, new = complete(old), complete(new)  # an older config lacks the fields that came later
    return list(_differing(old, new, (), free))


def _differing(
    old: Any, new: Any, path: tuple[str, ...], free: Collection[tuple[str, ...]]
) -> Iterator[str]:
    for name in sorted(fields_of(type(old))):
        field = fields_of(type(old))[name]
        a, b, where = getattr(old, name), getattr(new, name), (*path, name)
        if field.free or where in free:
            continue
        if field.is_section:
            yield from _differing(a, b, where, free)
        else:
            yield from _unequal(to_plain(a), to_plain(b), where)


def _unequal(a: Any, b: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(set(a) | set(b)):
            yield from _unequal(a.get(key), b.get(key), (*path, key))
    elif a != b:
        yield f"{'.'.join(path)}: {a!r} -> {b!r}"


def to_plain(value: Any) -> Any:
    """Sections and mappings as dicts, tuples as lists, NumPy's scalars as Python's."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name)) for name in fields_of(type(value))}
    if hasattr(value, "to_dict") and not isinstance(value, type):
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


def _leaves(section: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Field]]:
    """Every field that is no section itself, with its path."""
    for name, field in fields_of(section).items():
        if field.is_section:
            yield from _leaves(field.type, (*path, name))
        else:
            yield (*path, name), field


def _section(section: type, given: Any, path: tuple[str, ...]) -> Any:
    where, known = ".".join(path) or "config", fields_of(section)
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is a section, got {given!r}")
    for name in given:
        if name not in known:
            raise UnknownNameError(f"{where} has no field '{name}'{nearest(name, known)}")
    values = {name: _value(known[name], given[name], (*path, name)) for name in given}
    return section(**values)


def _value(field: Field, value: Any, path: tuple[str, ...]) -> Any:
    if field.is_section:
        return _section(field.type, value, path)
    if field.is_open:
        return copy.deepcopy(value)
    if value is None and field.optional:
        return None
    where = ".".join(path)
    if field.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wrong = isinstance(value, bool) and field.type is not bool
    if wrong or not isinstance(value, field.type):
        raise ConfigError(f"{where} must be of type {field.type.__name__}, got {value!r}")
    _require_bounds(field, value, where)
    return value


def _require_bounds(field: Field, value: Any, where: str) -> None:
    least, between = field.bounds
    if least == 1:
        require_positive_ints(**{where: value})
    elif least is not None and value < least:
        raise ConfigError(f"{where} must not be negative, got {value}")
    if between is not None and not between[0] < value < between[1]:
        low, high, example = between
        raise ConfigError(f"{where} must lie between {low} and {high}, e.g. {example}, got {value}")


DEFAULTS = to_plain(Config())
"""Every field with its default, as nested mappings."""
