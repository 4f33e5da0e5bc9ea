"""Variants of a config to hold against each other: every combination of some fields' values."""

import ast
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from ae_jax import config as config_lib
from ae_jax.config.sections import ConfigLike
from ae_jax.errors import ConfigError
from ae_jax.training.parallel import strategies as parallel

Sweep = tuple[str, list[Any]]


def parse_sweep(text: str) -> Sweep:
    """A field and its values from "training.batch_size=64,128,256".

    Args:
      text: commas within brackets or quotes do not divide; a value is read as Python where it can
        be (64, 1e-3, None, True, (128, 64)), else as a string.

    Returns:
      `(path, values)`.

    Raises:
      ConfigError: there is no field, no value, or a value twice.

    Example:
      >>> parse_sweep("training.compute_dtype=float32,bfloat16")
      ('training.compute_dtype', ['float32', 'bfloat16'])
    """
    path, equals, rest = text.partition("=")
    words = [word.strip() for word in _divided(rest)]
    if not (equals and path.strip() and all(words)):
        raise ConfigError(
            f"a sweep must be FIELD=VALUE,VALUE, e.g. training.batch_size=64,128, got {text!r}"
        )
    values = [_value(word) for word in words]
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ConfigError(f"the sweep {text!r} has {value!r} twice")
    return path.strip(), values


def variants(config: ConfigLike, sweeps: Sequence[Sweep]) -> list[dict[str, Any]]:
    """Every combination of the values, each checked as far as it can be without the data.

    Args:
      config: nested mappings; see `ae_jax.config`.
      sweeps: `(path, values)`; the last turns fastest.

    Returns:
      Overrides by dotted path; without sweeps one variant that overrides nothing.

    Raises:
      UnknownNameError: the config has no such field; the nearest is named.
      ConfigError: a field twice, a value of the wrong type, more devices than there are, or a batch
        that they do not divide.
    """
    paths = [path for path, _ in sweeps]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"{path} is swept twice; give all its values at once")
    combinations = [
        dict(zip(paths, values, strict=True))
        for values in itertools.product(*(values for _, values in sweeps))
    ]
    for variant in combinations:
        check(config_lib.replaced(config, variant))
    return combinations


def check(config: ConfigLike) -> None:
    """Raises ConfigError for what can be known wrong before the data are loaded."""
    config = config_lib.complete(config)
    training, wanted = config.training, config.parallel.devices
    present, platform = jax.device_count(), jax.default_backend()
    if wanted is not None and wanted > present:
        how = (
            f"; XLA_FLAGS=--xla_force_host_platform_device_count={wanted} before the command lets "
            "the processor stand for so many"
        )
        raise ConfigError(
            f"parallel.devices is {wanted}, but there are {present}{how * (platform == 'cpu')}"
        )
    devices = len(parallel.from_config(config.parallel).devices)
    sizes = training.batch_size, devices
    parallel.check_batch(*sizes, accumulation=training.accumulation)


def label(overrides: Mapping[str, Any]) -> str:
    """A variant's name in tables, such as "batch_size=64, engine=streaming"."""
    return ", ".join(f"{path.split('.')[-1]}={value}" for path, value in overrides.items())


def _divided(text: str) -> Iterable[str]:
    """Parts between the commas outside all brackets and quotes."""
    depth, quote, start = 0, "", 0
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "," and depth == 0:
            yield text[start:at]
            start = at + 1
        depth += (character in "([{") - (character in ")]}") if not quote else 0
    yield text[start:]


def _value(word: str) -> Any:
    try:
        return config_lib.to_plain(ast.literal_eval(word))
    except (SyntaxError, ValueError):
        return word
