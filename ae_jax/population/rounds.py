"""The rounds in which a population's members are selected, and what has come of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax import config as config_lib
from ae_jax import keys
from ae_jax.config.sections import CUSTOM, Config
from ae_jax.errors import (
    AeJaxError,
    ConfigError,
    PartError,
    UnknownNameError,
    WorkdirError,
    nearest,
)
from ae_jax.population.groups import Resolved
from ae_jax.population.members import value_at
from ae_jax.population.programs import evaluated_names, stacked_values
from ae_jax.population.selection import SELECTIONS, Bounds, Choice, Facts, Selection
from ae_jax.population.traced import with_values

SPLIT = "selection"
"""Of the log points that say what became of a member in a round."""
OWN = ("objective", "players")
"""Sections whose numbers weigh a member's loss."""


class Rounds(NamedTuple):
    """A selection made ready for one population.

    Attributes:
      selection: what decides.
      steps: at which it does, ascending.
      bounds: of the numbers that it changes.
      key: of all its draws.
    """

    selection: Selection
    steps: tuple[int, ...]
    bounds: Bounds
    key: Any

    def choose(self, values: Mapping[str, Any], scores: Sequence[float], step: int) -> Choice:
        """What becomes of m members at a step.

        Args:
          values: numbers by dotted path, `[m]`.
          scores: values of the metric, `[m]`, NaN of a member that has diverged.
          step: of the round.
        """
        signed = np.asarray(scores, np.float64) * (-1.0 if self.selection.largest else 1.0)
        key = jax.random.fold_in(self.key, step)
        choice = self.selection.choose(values, signed, key, self.bounds)
        rows, source = np.asarray(choice.rows), np.asarray(choice.source)
        ascending = len(rows) and np.all(np.diff(rows) > 0)
        if (
            not ascending
            or rows.shape != source.shape
            or not set(source) <= set(range(len(scores)))
        ):
            raise PartError(
                f"a selection must keep one of {len(scores)} members or more, in ascending order, "
                f"and say from whom each goes on, got rows {rows.tolist()} and source "
                f"{source.tolist()}"
            )
        return choice


def rounds_of(found: Resolved, selection: Any, optimizer: Any = None) -> Rounds | None:
    """The rounds of a population, checked against its members before anything is compiled.

    Args:
      found: the population.
      selection: a Selection, its config node or its name; None: none.
      optimizer: in place of the config's section.

    Returns:
      Rounds; None without a selection.

    Raises:
      ConfigError: it does not fit the steps, the members or what varies.
      UnknownNameError: there is no such selection, metric or field; the nearest is named.
    """
    if selection is None:
        return None
    selection = SELECTIONS.build(selection)
    if not set(found.base.dataset.splits) - {"train"}:
        raise ConfigError("members are selected by held-out data, and there are none: give test=")
    facts = _facts(found, found.base.config)
    steps, bounds = selection.rounds(facts), selection.bounds(facts)
    _require_valid(found, bounds, optimizer)
    _require_metric(found, selection, bounds, optimizer)
    root = keys.root(found.base.config.training.seed)
    return Rounds(selection, steps, bounds, keys.stream(root, "selection"))


def node_of(rounds: Rounds | None) -> Any:
    """What config.json holds of a selection."""
    if rounds is None:
        return None
    node = rounds.selection.node
    return CUSTOM if node is None else config_lib.to_plain(node)


def require_same(
    rounds: Rounds | None, found: Resolved, workdir: Any, before: Mapping[str, Any], step: int
) -> None:
    """Refuses to go on with another selection, or with one whose past rounds were others.

    Args:
      rounds: of this start.
      found: the population.
      workdir: whose population goes on.
      before: the contents of its config.json.
      step: where it goes on.

    Raises:
      WorkdirError: what has been selected until then is not what would have been.
    """
    earlier, now = before.get("selection"), node_of(rounds)
    if earlier != now:
        raise WorkdirError(
            f"'{workdir}' holds a population selected by {earlier or 'nothing'}, not by "
            f"{now or 'nothing'}: take another workdir, or the same selection"
        )
    if rounds is None:
        return
    config = config_lib.complete(before["config"])
    past = lambda steps: [each for each in steps if each < step]
    planned = rounds.selection.rounds(_facts(found, config))
    if past(planned) != past(rounds.steps):
        listed = lambda steps: ", ".join(map(str, past(steps))) or "none"
        raise WorkdirError(
            f"'{workdir}' has reached step {step} with rounds at {listed(planned)}, and these "
            f"would be at {listed(rounds.steps)}: go on with steps={config.training.steps} and "
            f"eval_every={config.training.eval_every}, take another workdir, or export a member "
            "and train it on"
        )


def _facts(found: Resolved, config: Config) -> Facts:
    traced = found.groups[0].traced
    training = config.training
    values = {path: np.asarray(row) for path, row in stacked_values(traced, found.configs).items()}
    programs = len(found.groups)
    count = len(found.members)
    return Facts(count, training.steps, training.eval_every, values, found.apart, programs)


def _require_valid(found: Resolved, bounds: Bounds, optimizer: Any) -> None:
    """Builds what the ends of each range would be, as members with such values are built."""
    for path, ends in bounds.items():
        for end in ends:
            try:
                with_values(found.groups[0].plan, {path: float(end)}, optimizer)
            except AeJaxError as error:
                raise type(error)(f"'{path}' cannot be explored up to {end!r}: {error}") from None


def _require_metric(found: Resolved, selection: Selection, bounds: Bounds, optimizer: Any) -> None:
    group = found.groups[0]
    names = evaluated_names(group.plan, stacked_values(group.traced, group.configs[:1]), optimizer)
    metric = selection.metric
    if metric not in names:
        raise UnknownNameError(f"no metric is called '{metric}'{nearest(metric, names)}")
    weighs = lambda path: path.partition(".")[0] in OWN
    differs = lambda path: len({value_at(config, path) for config in found.configs}) > 1
    own = [p for p in found.members[0] if weighs(p) and (p in bounds or differs(p))]
    if metric == "loss" and own:
        others = ", ".join(sorted(names - {"loss"})) or "none"
        raise ConfigError(
            f"metric='loss' weighs each member by its own {own[0]}, which says nothing of who is "
            f"better: take a metric that means the same of all. Known: {others}"
        )


# ---- what became of members ----------------------------------------------------------------------


def events_of(workdir: Any) -> list[dict[str, Any]]:
    """What rounds have made of members, as a workdir's log points say."""
    from ae_jax import _workdir as storage

    points = [] if workdir is None else storage.read_metrics(workdir)
    events = [point for point in points if point["split"] == SPLIT]
    return [{k: v for k, v in event.items() if k != "split"} for event in events]


class Fate(NamedTuple):
    """What rounds have made of a member.

    Attributes:
      rung: how many rounds it has come through; for one that goes on, all that there have been.
      copies: how often it has started again from another.
      source: from whom the last time; None: never.
    """

    rung: int
    copies: int
    source: int | None


def fate(events: Sequence[Mapping[str, Any]], number: int, rounds: int) -> Fate:
    """What rounds have made of a member.

    Args:
      events: log points of the split `SPLIT`, in order.
      number: of the member.
      rounds: how many there have been.
    """
    mine = [event for event in events if event["member"] == number]
    rung = next((int(event["rung"]) for event in mine if "rung" in event), rounds)
    sources = [int(event["source"]) for event in mine if "source" in event]
    return Fate(rung, len(sources), sources[-1] if sources else None)


def lineage(
    events: Sequence[Mapping[str, Any]], number: int, values: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Whose training a member's state has come through, and with which values.

    Args:
      events: log points of the split `SPLIT`, in order.
      number: of the member.
      values: of every member at the beginning.

    Returns:
      Stages in order, `{"member", "from_step", "values"}`, the last of them the member's own.
    """
    copied = [event for event in events if "source" in event]
    stages, before = [], math.inf
    while True:
        mine = [e for e in copied if e["member"] == number and e["step"] < before]
        if not mine:
            first = {"member": number, "from_step": 0, "values": dict(values[number])}
            return [first, *reversed(stages)]
        last = mine[-1]
        told = {path: last.get(path, value) for path, value in values[number].items()}
        stages.append({"member": number, "from_step": last["step"], "values": told})
        number, before = int(last["source"]), last["step"]


def told(live: Sequence[int], kept: Sequence[int], source: Sequence[int], number: int) -> str:
    """One line on a round.

    Args:
      live: the numbers of the members before it.
      kept: the numbers of those that go on.
      source: whose state each of these has.
      number: of the round, from 1.
    """
    copied = [f"{n} from {s}" for n, s in zip(kept, source, strict=True) if n != s]
    gone = sorted(set(live) - set(kept))
    said = [f"{', '.join(map(str, gone))} stop, {len(kept)} of {len(live)} go on"] if gone else []
    said += [f"starting again: {', '.join(copied)}"] if copied else []
    return f"round {number}: {'; '.join(said) or 'all go on as they are'}"
