"""The variants of a config file: the experiment itself, its smoke test, and others by name."""

import types
from collections.abc import Iterable, Mapping
from typing import Any

from ae_jax.config.sections import SMOKE
from ae_jax.errors import ConfigError, UnknownNameError, nearest


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
