"""Which members a population has: each the base config with other values in some fields."""

import itertools
import json
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax import config as config_lib
from ae_jax._registry import plain
from ae_jax.checks import require_order, require_positive, require_positive_ints, require_seed
from ae_jax.config.sections import CUSTOM, Config
from ae_jax.errors import ConfigError, UnknownNameError, nearest

SEED = "training.seed"
SECTIONS = ("model", "objective", "players", "corruption", "optimizer")
"""Sections all of whose fields may vary."""
TRAINING = (SEED, "training.batch_size", "training.accumulation", "training.average_decay")
"""The fields of the training section that may vary; all others are those of the loop they share."""
HOW = ("grid", "list")

Member = dict[str, Any]
Vary = Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]]


def members_of(vary: Vary, how: str = "grid") -> list[Member]:
    """The values of each member, by dotted path.

    Args:
      vary: values of each field, e.g. `{"training.seed": range(4)}`; or the members themselves, one
        mapping each.
      how: of several fields, "grid" takes every combination, the last field changing fastest;
        "list" takes the first values together, then the second ones, and so on.

    Returns:
      One dict a member.

    Raises:
      ConfigError: there are no members, two are the same, or lists are not equally long.

    Example:
      >>> members_of({"training.seed": range(2), "objective.kl.weight": [1.0, 4.0]})[1]
      {'training.seed': 0, 'objective.kl.weight': 4.0}
    """
    if isinstance(vary, Mapping):
        members = _combined({path: _row(path, values) for path, values in vary.items()}, how)
    else:
        members = [dict(member) for member in vary]
    members = [{path: plain(value) for path, value in member.items()} for member in members]
    if not members or not members[0]:
        raise ConfigError(
            "a population needs members: vary a field, e.g. vary={'training.seed': range(4)}"
        )
    for number, member in enumerate(members):
        if lone := sorted(set(member) ^ set(members[0])):
            raise ConfigError(
                f"every member must give the same fields, but member {number} and member 0 do not "
                f"share {', '.join(lone)}"
            )
    _require_different(members)
    return members


def _row(path: str, values: Any) -> list[Any]:
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise ConfigError(f"vary['{path}'] must be a list of values, got {values!r}")
    return [_scalar(value) for value in values]


def _scalar(value: Any) -> Any:
    return value.item() if getattr(value, "shape", None) == () else value


def _combined(rows: Mapping[str, list[Any]], how: str) -> list[Member]:
    if how not in HOW:
        raise ConfigError(f"how cannot be {how!r}{nearest(how, HOW)}")
    for path, row in rows.items():
        if not row:
            raise ConfigError(f"vary['{path}'] has no values")
    named = lambda values: dict(zip(rows, values, strict=True))
    if how == "grid":
        return list(map(named, itertools.product(*rows.values())))
    lengths = {path: len(row) for path, row in rows.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path} {length}" for path, length in lengths.items())
        raise ConfigError(f"how='list' needs as many values of each field, got {listed}")
    return list(map(named, zip(*rows.values(), strict=True)))


def _require_different(members: Sequence[Member]) -> None:
    before: dict[str, int] = {}
    for number, member in enumerate(members):
        text = json.dumps(member, sort_keys=True, default=repr)
        if text in before:
            raise ConfigError(f"members {before[text]} and {number} are the same: {member}")
        before[text] = number


def configs_of(base: Config, members: Sequence[Member]) -> list[Config]:
    """The complete config of each member.

    Args:
      base: with nothing unset.
      members: of `members_of`.

    Raises:
      UnknownNameError: a field does not exist; the nearest is named.
      ConfigError: a field that all members share, a section in place of a field, or a value of the
        wrong type or out of its bounds.
    """
    for path in members[0]:
        _require_varying(base, path)
    configs = [config_lib.replaced(base, member) for member in members]
    for config in configs:
        require_seed(**{SEED: config.training.seed})
    return configs


def _require_varying(base: Config, path: str) -> None:
    section, _, rest = path.partition(".")
    known = config_lib.to_plain(base)
    if section not in known:
        every = [*(f"{name}.…" for name in SECTIONS), *TRAINING]
        raise ConfigError(f"the config has no field '{path}'{nearest(path, every)}")
    if section not in SECTIONS and path not in TRAINING:
        value_at(base, path)  # an unknown field is told so first
        raise ConfigError(
            f"'{path}' cannot vary: the members of a population share it. Fields that vary are "
            f"those of {', '.join(SECTIONS)} and {', '.join(TRAINING)}"
        )
    if known[section] == CUSTOM or CUSTOM in _along(known, path):
        raise ConfigError(
            f"'{path}' cannot vary: that part came as a Python object, which has no config. Name "
            "it 'package.module:function'"
        )
    if section in ("model", "corruption", "objective"):
        _require_known(known, path)
    value = value_at(base, path, missing=0) if rest else known[section]
    if not rest or isinstance(value, Mapping):
        inner = f"{path}.{next(iter(value), '…')}" if isinstance(value, Mapping) else f"{path}.…"
        raise ConfigError(
            f"'{path}' is a section, not a number; vary a field of it, e.g. '{inner}'"
        )


def _require_known(known: Any, path: str) -> None:
    """Refuses an argument that its part, whose node names all of them, does not have."""
    *sections, field = path.split(".")
    for name in sections:
        known = known.get(name) if isinstance(known, Mapping) else None
    if isinstance(known, Mapping) and sections[1:] and field not in known:
        where = ".".join(sections)
        raise UnknownNameError(f"{where} has no field '{field}'{nearest(field, known)}")


def _along(known: Any, path: str) -> list[Any]:
    values = []
    for name in path.split("."):
        if not isinstance(known, Mapping) or name not in known:
            break
        known = known[name]
        values += [known] if isinstance(known, str) else []
    return values


def value_at(config: Config, path: str, missing: Any = None) -> Any:
    """The value at a dotted path of a config.

    Raises:
      UnknownNameError: there is no such field, unless something stands for `missing` arguments.
    """
    inner: Any = config_lib.to_plain(config)
    *sections, field = path.split(".")
    for section in sections:
        if not isinstance(inner, Mapping) or section not in inner:
            config_lib.replaced(config, {path: missing})  # which says what there is instead
        inner = inner[section]
    if not isinstance(inner, Mapping) or field not in inner:
        config_lib.replaced(config, {path: missing})
        return missing
    return inner[field]


def is_number(value: Any) -> bool:
    """Whether a value can be traced: a number, and no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


# ---- random search -------------------------------------------------------------------------------

Draw = Callable[[np.random.Generator], Any]


def random(n: int, seed: int, draws: Mapping[str, Draw]) -> list[Member]:
    """Members with values drawn at random (Bergstra & Bengio 2012).

    Args:
      n: how many.
      seed: of the draws.
      draws: by dotted path, `generator -> value`, e.g. `log_uniform(1e-4, 1e-2)`.

    Returns:
      One dict a member, the first ones the same for every larger n.

    Example:
      >>> import ae_jax as ae
      >>> rates = {"optimizer.learning_rate": ae.population.log_uniform(1e-4, 1e-2)}
      >>> members = ae.population.random(3, seed=0, draws=rates)
      >>> [1e-4 <= member["optimizer.learning_rate"] <= 1e-2 for member in members]
      [True, True, True]
    """
    require_positive_ints(n=n)
    require_seed(seed=seed)
    generator = np.random.default_rng(seed)
    return [{path: plain(draw(generator)) for path, draw in draws.items()} for _ in range(n)]


def uniform(low: float, high: float) -> Draw:
    """Numbers drawn evenly from [low, high), for `random`.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> 0.1 <= ae.population.uniform(0.1, 0.5)(np.random.default_rng(0)) < 0.5
      True
    """
    require_order(low, high)
    return lambda generator: float(generator.uniform(low, high))


def log_uniform(low: float, high: float) -> Draw:
    """Numbers whose logarithm is drawn evenly from that of [low, high), for `random`.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> 1e-4 <= ae.population.log_uniform(1e-4, 1e-2)(np.random.default_rng(0)) < 1e-2
      True
    """
    require_positive(low=low)
    require_order(low, high)
    return lambda generator: math.exp(generator.uniform(math.log(low), math.log(high)))
