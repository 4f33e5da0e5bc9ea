"""A config from nested mappings: defaults filled in, each field checked."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ae_jax.checks import require_positive_ints
from ae_jax.config.plain import to_plain
from ae_jax.config.sections import Config, ConfigLike, Field, Model, fields_of
from ae_jax.errors import ConfigError, UnknownNameError, nearest


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


def with_model(config: Config, change: Callable[[Any], Any]) -> Config:
    """The config with its model section, as nested mappings, changed."""
    return dataclasses.replace(config, model=Model(**change(to_plain(config.model))))


def evaluation_batch_size(config: Config) -> int:
    """Examples that go through the model at once when nothing is trained."""
    microbatch = config.training.batch_size // config.training.accumulation
    return config.evaluation.batch_size or microbatch


def _inner(inner: Any, known: Any, name: str, where: str) -> Any:
    """The class of a field of a section; Any within what is open to any value."""
    where = where or "the config"
    if not isinstance(inner, Mapping):
        raise ConfigError(f"{where} is {inner!r}, which has no fields, but '{name}' was asked for")
    names = inner if known is Any else fields_of(known)
    if name not in names:
        raise UnknownNameError(f"{where} has no field '{name}'{nearest(name, names)}")
    return Any if known is Any else fields_of(known)[name].type


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
