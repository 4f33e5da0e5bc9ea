"""What decides, while a population trains, which members go on, from whose state, with what."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ae_jax._registry import Registry
from ae_jax.types import Node, PRNGKey

Bounds = dict[str, tuple[float, float]]
"""Between what each explored number stays, by dotted path."""


class Facts(NamedTuple):
    """What a selection may know of a population before it trains.

    Attributes:
      members: how many there are.
      steps: optimizer steps of the whole run.
      eval_every: steps between evaluations.
      values: the numbers that the program takes as arguments, by dotted path, `[members]`, as the
        members begin.
      apart: why a field that varies is no argument of the program, by dotted path.
      programs: how many programs train the members.
    """

    members: int
    steps: int
    eval_every: int
    values: Mapping[str, Any]
    apart: Mapping[str, str]
    programs: int


class Choice(NamedTuple):
    """What becomes of the m members that a round is held among.

    Attributes:
      rows: int `[k]`, which of the m go on, ascending.
      source: int `[k]`, whose state each of them has from here on: its own row where it is kept.
      values: numbers of each from here on, by dotted path, `[k]`.
    """

    rows: Any
    source: Any
    values: Mapping[str, Any]


class Selection(NamedTuple):
    """How members are selected while they train: pure functions, and what they rank members by.

    Attributes:
      rounds: `facts -> ` the steps at which it decides, ascending, each below `facts.steps`; raises
        ConfigError where it does not fit them.
      bounds: `facts -> Bounds` of the numbers that it changes; raises where it cannot.
      choose: `(values, scores, key, bounds) -> Choice`; values by dotted path and scores are `[m]`,
        the lower a score, the better, NaN of a member that has diverged; the key is the round's.
      metric: the name of the evaluation's metric that scores are.
      largest: whether large values of it are good.
      node: what rebuilds it.
    """

    rounds: Callable[[Facts], tuple[int, ...]]
    bounds: Callable[[Facts], Bounds]
    choose: Callable[[Mapping[str, Any], Any, PRNGKey, Bounds], Choice]
    metric: str
    largest: bool = False
    node: Node | None = None


SELECTIONS = Registry("selection", Selection)
