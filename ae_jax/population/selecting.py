"""One round of a selection, held among the members that a population's loop trains."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax.population.programs import Values, weak
from ae_jax.population.rounds import SPLIT, told
from ae_jax.population.stack import Joined, Stack, joined, restacked
from ae_jax.training.state import TrainState


class Parted(NamedTuple):
    """The members of a group where a start begins.

    Attributes:
      numbers: of those that go on.
      state: of these.
      values: of these.
      stopped: the others; None: there are none.
    """

    numbers: tuple[int, ...]
    state: TrainState
    values: Values
    stopped: Joined | None


def hold(loop: Any) -> None:
    """Has some members stop, or go on from another's state with other numbers.

    Args:
      loop: a `PopulationLoop` at the step of a round, whose members have just been evaluated.
    """
    stacks: dict[int, list[Stack]] = {}
    for group, stack in loop.stacks:
        stacks.setdefault(group, []).append(stack)
    before = {group: joined(some) for group, some in stacks.items()}
    rows = sorted((n, g, i) for g, own in before.items() for i, n in enumerate(own.numbers))
    live = [number for number, _, _ in rows]
    scores = [_score(loop, n, int(before[g].state.skipped_in_a_row[i])) for n, g, i in rows]
    paths = next(iter(before.values())).values
    values = {path: np.array([before[g].values[path][i] for _, g, i in rows]) for path in paths}
    choice = loop.rounds.choose(values, scores, loop.step)
    kept, source = ([live[i] for i in some] for some in (choice.rows, choice.source))
    after = {path: np.asarray(row) for path, row in choice.values.items()}
    loop.stacks = []
    for group, members in before.items():
        gone = [n for n in members.numbers if n not in kept]
        if gone:
            held = members.taking(gone, gone)
            loop.stopped.append((group, held))
            for number, in_a_row in zip(gone, held.state.skipped_in_a_row, strict=True):
                loop.judge(number, int(in_a_row))
        at = [i for i, n in enumerate(kept) if n in members.numbers]
        if at:
            going = members.taking([kept[i] for i in at], [source[i] for i in at])
            going = going._replace(values={path: row[at] for path, row in after.items()})
            loop.stacks += [(group, stack) for stack in restacked(stacks[group], going)]
    sizes = {stack.size for some in stacks.values() for stack in some}
    loop.cold = not sizes.issuperset(stack.size for _, stack in loop.stacks)
    loop.note_values(kept, after)
    _report(loop, live, kept, source, after)


def _score(loop: Any, number: int, skipped_in_a_row: int) -> float:
    """What a member is ranked by, NaN if it has diverged: of state and metrics at this very step.

    So that a population which was killed and goes on decides as one that was not.
    """
    lost = skipped_in_a_row >= loop.training.max_skipped_in_a_row or loop.risen(number)
    value = loop.by_member[loop.chosen_by][number][loop.rounds.selection.metric]
    return math.nan if lost or not math.isfinite(value) else value


def _report(
    loop: Any,
    live: Sequence[int],
    kept: Sequence[int],
    source: Sequence[int],
    values: dict[str, np.ndarray],
) -> None:
    number = loop.rounds.steps.index(loop.step)
    events: dict[int, dict[str, float]] = {n: {"rung": number} for n in live if n not in kept}
    for i, (n, parent) in enumerate(zip(kept, source, strict=True)):
        if n != parent:
            events[n] = {"source": parent, **{path: row[i].item() for path, row in values.items()}}
            loop.diverged.pop(n, None)
            for rows in loop.by_member.values():
                rows[n] = rows[parent]
    loop.events += [{"step": loop.step, "member": n, **event} for n, event in events.items()]
    loop.reporter.log_selection(loop.step, SPLIT, events, told(live, kept, source, number + 1))


def parted(numbers: Sequence[int], state: TrainState, values: Values, live: Any) -> Parted:
    """The members of a group that go on from a checkpoint, and those stopped before it.

    Args:
      numbers: of the members in the population.
      state: of each, NumPy, with typed keys.
      values: of each.
      live: bool by number in the population, which are being trained; None: all.
    """
    ended = np.zeros(len(numbers), bool) if live is None else ~np.asarray(live)[list(numbers)]
    if not ended.any():
        return Parted(tuple(numbers), state, values, None)
    rows, others = np.flatnonzero(~ended).tolist(), np.flatnonzero(ended).tolist()
    some = lambda tree, at: jax.tree.map(lambda leaf: leaf[np.asarray(at, np.int32)], tree)
    named = lambda at: tuple(numbers[i] for i in at)
    host = {path: np.asarray(row) for path, row in values.items()}
    raw = state._replace(root=np.asarray(jax.random.key_data(state.root)))
    held = Joined(named(others), some(raw, others), some(host, others), {})
    going = {path: weak(row) for path, row in some(host, rows).items()} if rows else {}
    return Parted(named(rows), some(state, rows), going, held)
