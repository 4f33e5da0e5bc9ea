"""A population as its checkpoint holds it: of each group a run's tree, members first."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax.population.programs import Values, weak
from ae_jax.training.checkpoint_tree import from_tree, to_tree
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.state import TrainState
from ae_jax.types import Variables

GroupState = tuple[TrainState, Values]
"""Of one group: states `[members, …]` and the numbers its program takes, `[members]`."""


LIVE = "live"
"""Of a population with a selection, which members are being trained: a leaf beside the groups."""


def tree_of(groups: Sequence[GroupState], live: np.ndarray | None = None) -> dict[str, Any]:
    """The checkpoint's tree: `groupN/state/…` as a run's, and `groupN/values/K` by path.

    Args:
      groups: NumPy.
      live: bool `[members]` of the population, False of those stopped; None: there is no selection.
    """
    number = lambda values: {
        f"{i:06d}": np.asarray(values[k]) for i, k in enumerate(sorted(values))
    }
    tree: dict[str, Any] = {
        f"group{n}": {"state": to_tree(state), "values": number(values)}
        for n, (state, values) in enumerate(groups)
    }
    return tree if live is None else tree | {LIVE: live}


def values_of(tree: Mapping[str, Any], paths: Sequence[str]) -> Values:
    """The numbers of a group by dotted path."""
    kept = [tree["values"][f"{i:06d}"] for i in range(len(paths))]
    return dict(zip(sorted(paths), map(weak, kept), strict=True))


def restored(tree: Mapping[str, Any], paths: Sequence[str], like: TrainState) -> GroupState:
    """A group from its part of the tree.

    Args:
      tree: of the group.
      paths: of its numbers.
      like: of arrays or shapes.

    Raises:
      CheckpointError: it is of another model or optimizer.
    """
    return from_tree(tree["state"], like), values_of(tree, paths)


def states_of(tree: Mapping[str, Any], stored: Mapping[str, Any]) -> list[GroupState]:
    """All groups from a checkpoint alone, with optimizer states as numbered leaves.

    Args:
      tree: of the checkpoint.
      stored: the contents of config.json.
    """
    groups = []
    for number, group in enumerate(stored["groups"]):
        own = tree[f"group{number}"]
        flat = own["state"]
        state = TrainState(
            variables=Variables(flat["params"], flat["state"]),
            optimizer=flat["optimizer"],
            average=flat["average"],
            root=jax.random.wrap_key_data(flat["root"]),
            step=flat["step"],
            skipped=flat["skipped"],
            skipped_in_a_row=flat["skipped_in_a_row"],
        )
        groups.append((state, values_of(own, group["values"])))
    return groups


def groups_of(stacks: Any, stopped: Any, fetched: Sequence[TrainState]) -> list[GroupState]:
    """The states and numbers of each group, joined, without copies, in the members' order.

    Args:
      stacks: `[(group, Stack)]`, of the members being trained.
      stopped: `[(group, Joined)]`, of the others.
      fetched: the state of each stack, NumPy.
    """
    parts: dict[int, list[Any]] = {}
    for (group, stack), state in zip(stacks, fetched, strict=True):
        tree = stack.trimmed((state, parallel.fetch(stack.values)))
        parts.setdefault(group, []).append((stack.numbers, tree))
    for group, held in stopped:
        parts.setdefault(group, []).append((held.numbers, (held.state, held.values)))
    return [_joined(parts[group]) for group in sorted(parts)]


def _joined(parts: Sequence[tuple[Sequence[int], GroupState]]) -> GroupState:
    order = np.argsort([number for numbers, _ in parts for number in numbers])
    join = lambda *leaves: np.concatenate(leaves)[order]
    return jax.tree.map(join, *(tree for _, tree in parts))
