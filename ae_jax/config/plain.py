"""Configs as plain values: nested dicts, lists, numbers and strings."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ae_jax.config.sections import Config, Field, fields_of


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


def tuples(value: Any) -> Any:
    """The plain value with tuples for lists."""
    if isinstance(value, Mapping):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value


def leaves(section: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Field]]:
    """Every field that is no section itself, with its path."""
    for name, field in fields_of(section).items():
        if field.is_section:
            yield from leaves(field.type, (*path, name))
        else:
            yield (*path, name), field


DEFAULTS = to_plain(Config())
"""Every field with its default, as nested mappings."""
