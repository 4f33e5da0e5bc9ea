"""Members that one dispatch computes side by side, on the devices."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.data import order
from ae_jax.data.intake import take_in
from ae_jax.data.source import in_memory
from ae_jax.errors import DataError
from ae_jax.population.groups import Group
from ae_jax.population.programs import Programs, Values, bodies, weak
from ae_jax.population.programs import programs as compiled_programs
from ae_jax.training import programs as engine
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.members import Members
from ae_jax.training.plan import Plan
from ae_jax.training.state import TrainState


class Stack:
    """Members side by side: their numbers, states and totals, `[members, …]`.

    Short of the size that the programs are compiled for they are filled up with copies of the last,
    which are dropped from whatever is read.

    Attributes:
      numbers: of the members in the population.
      state: TrainState on the devices, of the members and the copies.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        values: Values,
        state: TrainState,
        totals: Mapping[str, Any],
        programs: Programs,
        members: Members,
        size: int,
        shared_order: bool,
    ):
        """Places everything on the devices.

        Args:
          numbers: of the members.
          values: of each, `[members]`.
          state: of each, NumPy, with typed keys.
          totals: sums of each metric since the last log point, NumPy, `[members]`.
          programs: of its group.
          members: where they lie.
          size: how many the programs are compiled for.
          shared_order: whether all go through the data in one order.
        """
        self.numbers, self.programs, self.members = tuple(numbers), programs, members
        rows, index = members.rows(len(numbers), size), np.full(size, len(numbers) - 1)
        index[rows] = np.arange(len(numbers))
        live = np.zeros(size, bool)
        live[rows] = True
        self.rows = slice(len(rows)) if rows[-1] == len(rows) - 1 else rows
        self.live = members.place_members(live)
        fill = lambda tree: jax.tree.map(lambda leaf: leaf[index], tree)
        seeds = np.array([order.order_seed(key) for key in state.root], np.uint32)
        self.values = members.place_members(fill(values))
        self.state = members.place_members(fill(state))
        self.root = members.place_members(fill(state.root))
        self.totals = members.place_members(fill(dict(totals)))
        self.size, self.shared_order = size, shared_order
        place = members.place if shared_order else members.place_members
        self.order_seed = place(seeds[0] if shared_order else seeds[index])

    def arguments(self, records: Any, position: Any) -> tuple[Any, ...]:
        """What the training program takes."""
        own = self.live, self.values, self.state, self.totals
        return *own, records, self.order_seed, position

    def advance(self, records: Any, position: Any) -> None:
        """Starts the steps that a position asks for."""
        arguments = self.arguments(records, position)
        self.state, self.totals = self.programs.train(*arguments)

    def evaluate(self, records: Any) -> list[dict[str, float]]:
        """The metrics of each member, means over a split."""
        given = self.state.evaluated, self.root, self.state.step
        found = self.programs.evaluate(self.live, self.values, *given, records)
        sums, counts = self.trimmed(parallel.fetch(found))
        if not counts[0]:
            raise DataError("no example of the split could be read")
        rows = range(len(self.numbers))
        return [{name: float(row[i] / counts[i]) for name, row in sums.items()} for i in rows]

    def trimmed(self, tree: Any) -> Any:
        """Fetched leaves without the copies."""
        return jax.tree.map(lambda leaf: leaf[self.rows], tree)


class Joined(NamedTuple):
    """Members of one group, NumPy, members first.

    Attributes:
      numbers: of them in the population.
      state: TrainState, its root the keys' data.
      values: the numbers that their program takes, by dotted path.
      totals: sums of each metric since the last log point.
    """

    numbers: tuple[int, ...]
    state: TrainState
    values: dict[str, np.ndarray]
    totals: dict[str, np.ndarray]

    def taking(self, numbers: Sequence[int], source: Sequence[int]) -> "Joined":
        """Some of the members, each with what is another's but for its root."""
        rows, of = ([self.numbers.index(n) for n in some] for some in (numbers, source))
        take = lambda tree: jax.tree.map(lambda leaf: leaf[of], tree)
        state = take(self.state)._replace(root=self.state.root[rows])
        return Joined(tuple(numbers), state, take(self.values), take(self.totals))


def joined(stacks: Sequence[Stack]) -> Joined:
    """The members of stacks of one group, fetched."""
    fetched = [s.trimmed(parallel.fetch((s.state, s.values, s.totals))) for s in stacks]
    state, values, totals = jax.tree.map(lambda *leaves: np.concatenate(leaves), *fetched)
    return Joined(tuple(n for stack in stacks for n in stack.numbers), state, values, totals)


def restacked(stacks: Sequence[Stack], members: Joined) -> list[Stack]:
    """Members on the devices by the programs of these stacks, in as few turns as these held.

    Where members that are not live cost nothing, stacks keep their size, and nothing is compiled.

    Args:
      stacks: of their group, as it was.
      members: that go on.
    """
    lead, count = stacks[0], len(members.numbers)
    state = members.state._replace(root=jax.random.wrap_key_data(members.state.root))
    values = {path: weak(row) for path, row in members.values.items()}
    size = max(stack.size for stack in stacks)
    size = size if lead.members.skips else _even(count, size, lead.members)

    def one(start: int) -> Stack:
        rows = slice(start, start + size)
        part = lambda tree: jax.tree.map(lambda leaf: leaf[rows], tree)
        own = members.numbers[rows], part(values), part(state), part(members.totals)
        return Stack(*own, lead.programs, lead.members, size, lead.shared_order)

    return [one(start) for start in range(0, count, size)]


def position(step: int, batch_size: int, size: int, steps: int, fresh: bool) -> np.ndarray:
    """Where in the data a dispatch starts; see `ae_jax.training.programs.position`."""
    return engine.position(step * batch_size, size, steps, fresh)


def group_stacks(
    group: Group,
    state: TrainState,
    values: Values,
    optimizer: Any,
    members: Members,
    data: Mapping[str, Any],
    budget: int | None,
    resident: int,
) -> list[Stack]:
    """The members of a group, as many side by side as the compiler says that memory holds.

    Args:
      group: of the members.
      state: of each, NumPy.
      values: their numbers.
      optimizer: in place of the config's section.
      members: where they lie.
      data: records of each split, on the devices.
      budget: bytes of each device; None: unknown.
      resident: bytes of the states of the whole population on each device.
    """
    body, shared = bodies(group.plan, optimizer), not group.own_seeds
    built, count = compiled_programs(body, members, group.own_seeds), len(group.numbers)

    def cut(start: int, size: int) -> Stack:
        rows = slice(start, start + size)
        part = lambda tree: jax.tree.map(lambda leaf: leaf[rows], tree)
        numbers = group.numbers[rows]
        zeros = {name: np.zeros(len(numbers), np.float32) for name in body.totals}
        return Stack(numbers, part(values), part(state), zeros, built, members, size, shared)

    def needed(size: int) -> int:
        where = members.place(np.zeros(4, np.uint32))
        lowered = built.train.lower(*cut(0, size).arguments(data["train"], where))
        return lowered.compile().memory_analysis().temp_size_in_bytes + nbytes(data)

    size = fitting(count, members, budget, resident, needed)
    return [cut(start, size) for start in range(0, count, size)]


def fitting(
    count: int,
    members: Members,
    budget: int | None,
    state_bytes: int,
    needed: Any,
) -> int:
    """How many members a program may have, so that it fits into memory.

    Args:
      count: members there are.
      members: where they lie.
      budget: bytes of each device; None: unknown, and all go together.
      state_bytes: bytes of the states of all members on each device, which stay there throughout.
      needed: `size -> ` bytes that a program of so many needs beside states, on each device.

    Returns:
      A multiple of the devices.
    """
    size = members.padded(count)
    while budget is not None and size > members.devices:
        room, wanted = budget - state_bytes, needed(size)
        if wanted <= room:
            break
        size = max(members.devices, min(size // 2, int(size * max(room, 0) / wanted)))
        size = max(members.devices, size // members.devices * members.devices)
    return _even(count, size, members)


def _even(count: int, size: int, members: Members) -> int:
    """The size of as few equal turns as take no more than so many members at once."""
    return members.padded(math.ceil(count / math.ceil(count / size)))


def place_data(base: Plan, members: Members) -> dict[str, Any]:
    """The records of every split on the devices, once for all members."""
    host = base.preprocessing.host
    read = lambda split: in_memory(take_in(split, host)).records
    return {name: members.place(read(split)) for name, split in base.dataset.splits.items()}


def nbytes(tree: Any) -> int:
    """Bytes of a tree of arrays or shapes."""
    size = lambda leaf: int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize
    plain = lambda leaf: (
        hasattr(leaf, "dtype") and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )
    return sum(size(leaf) for leaf in jax.tree.leaves(tree) if plain(leaf))
