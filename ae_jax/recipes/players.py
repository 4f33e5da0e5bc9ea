"""The players of a game: as recipes and configs describe them, and as a step takes them."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ae_jax import config as config_lib
from ae_jax.config.sections import CUSTOM, Optimizer, fields_of
from ae_jax.errors import ConfigError, PartError, UnknownNameError, nearest
from ae_jax.objective import Objective
from ae_jax.objective import from_config as objective_from_config
from ae_jax.types import Player, Variables

MAIN = Player((), None, None).name
"""The player that the run's own objective belongs to."""
FIELDS = ("params", "objective", "optimizer", "every", "start")


def to_config(players: Sequence[Player]) -> dict[str, Any]:
    """The config's `players` section.

    Args:
      players: of a recipe, beside the model's own.

    Returns:
      By name `{"params", "objective", "optimizer", "every", "start"}`, what is unset left out;
      "custom" stands for objectives and optimizers of Python objects.
    """
    return {player.name: _to_config(player) for player in players}


def _to_config(player: Player) -> dict[str, Any]:
    turns = {"every": player.every, "start": player.start}
    section: dict[str, Any] = dict(config_lib.to_plain(turns))
    if player.params:
        section["params"] = list(player.params)
    if player.objective is not None:
        written = player.objective.to_config()
        section["objective"] = CUSTOM if written is None else config_lib.to_plain(written)
    if player.optimizer is not None:
        plain = isinstance(player.optimizer, Mapping)
        section["optimizer"] = config_lib.to_plain(player.optimizer) if plain else CUSTOM
    return section


def from_config(section: Mapping[str, Any], need_objective: bool = True) -> tuple[Player, ...]:
    """The players of a config's section; see `to_config`.

    Args:
      section: by name.
      need_objective: if False, what cannot be rebuilt is left out.

    Returns:
      Players, in the order of their turns.

    Raises:
      ConfigError: a field is unknown or missing, or was a Python object.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"players is a section of players by name, got {section!r}")
    return tuple(_from_config(name, node, need_objective) for name, node in section.items())


def _from_config(name: str, node: Any, need_objective: bool) -> Player:
    where = f"players.{name}"
    if not isinstance(node, Mapping):
        raise ConfigError(f"{where} is a section of {', '.join(FIELDS)}, got {node!r}")
    for field in node:
        if field not in FIELDS:
            raise UnknownNameError(f"{where} has no field '{field}'{nearest(field, FIELDS)}")
    objective, optimizer = node.get("objective"), node.get("optimizer")
    if need_objective and CUSTOM in (objective, optimizer):
        raise ConfigError(
            f"the objective or optimizer of {where} came as a Python object, which config.json "
            "cannot rebuild: pass the same recipe or (model, objective, players)"
        )
    if name != MAIN and objective is None:
        raise ConfigError(f"{where} has no objective, e.g. {{'discriminator': 1.0}}")
    if isinstance(objective, str):
        objective = Objective()
    elif objective is not None:
        objective = objective_from_config(objective)
    params = tuple(node.get("params", ()))
    if isinstance(node.get("params"), str):
        raise ConfigError(f"{where}.params is a list of parts, got {node['params']!r}")
    every, start = node.get("every", 1), node.get("start", 0)
    optimizer = None if isinstance(optimizer, str) else optimizer
    return Player(params, objective, optimizer, every, name, start)


def arranged(
    further: Sequence[Player],
    objective: Objective,
    variables: Variables,
    optimizer: Any,
    section: Optimizer,
    build: Callable[[Optimizer], Any],
    critics: Collection[str] = (),
) -> tuple[Player, ...]:
    """The players of a run, ready for `make_step`.

    The model's own, "model", minimises the run's objective, moves all parameters but those of
    critics that no other player moves, and has the first turn, unless it is listed: to move less
    often or later. Another without `params` moves those of its own name.

    Args:
      further: of the recipe.
      objective: of the run.
      variables: whose parameters are moved; shapes suffice.
      optimizer: of every player without one of its own.
      section: the config's, which a player's own mapping changes fields of.
      build: from such a section to an optimizer.
      critics: the names of the model's critics, which only players of their own move.

    Returns:
      One player for the ordinary run.

    Raises:
      PartError: a player is none.
      UnknownNameError: an optimizer's section has no such field.
    """
    for player in further:
        if not isinstance(player, Player):
            raise PartError(f"players must be ae.Player objects, got {player!r:.200}")
    listed = list(further)
    if MAIN not in [player.name for player in listed]:
        listed.insert(0, Player((), None, None, name=MAIN))
    named = lambda player: player.params or (player.name,)
    others = {name for player in listed if player.name != MAIN for name in named(player)}
    rest = tuple(sorted(set(variables.params) - others - set(critics)))

    def complete(player: Player) -> Player:
        if player.name == MAIN:
            player = player._replace(params=player.params or rest, objective=objective)
        player = player._replace(params=named(player))
        return player._replace(optimizer=_optimizer(player, optimizer, section, build))

    return tuple(map(complete, listed))


def _optimizer(player: Player, shared: Any, section: Optimizer, build: Callable[..., Any]) -> Any:
    given = player.optimizer
    if given is None:
        return shared
    if not isinstance(given, Mapping):
        return given
    for name in given:
        if name not in fields_of(Optimizer):
            raise UnknownNameError(
                f"players.{player.name}.optimizer has no field '{name}'"
                f"{nearest(name, fields_of(Optimizer))}"
            )
    known = dataclasses.replace(section, name="adam") if section.name == CUSTOM else section
    return build(dataclasses.replace(known, **dict(given)))
