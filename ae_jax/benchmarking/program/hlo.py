"""Compiled programs as XLA prints them (`compiled.as_text()`): computations, loops, memory spaces.

The compiler's own totals count the body of a loop once. Here a program is walked with each loop's
trip count; a loop whose count is not in the program, such as that over training steps, counts once.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ae_jax.benchmarking.program.hlo_text import Computation, Instruction, parse

_KNOWN = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_COPIES = ("copy", "bitcast", "convert", "reshape", "copy-start", "copy-done")


class Visit(NamedTuple):
    """An instruction met on a walk.

    Attributes:
      computation: that holds it.
      instruction: itself.
      times: how often it runs.
      fused: whether inside a fusion, so that it touches no memory of its own.
    """

    computation: Computation
    instruction: Instruction
    times: int
    fused: bool


class Program:
    """A compiled module."""

    def __init__(self, text: str):
        """Parses what `compiled.as_text()` gives."""
        self.computations, self.entry = parse(text)
        self.loops = {
            instruction.called("body"): (computation, instruction)
            for computation in self.computations.values()
            for instruction in computation.instructions.values()
            if instruction.opcode == "while"
        }

    def walk(self) -> Iterator[Visit]:
        """Every instruction that runs, those of loops, calls, branches and fusions included."""
        yield from self._walk(self.computations[self.entry], 1, fused=False)

    def _walk(self, computation: Computation, times: int, fused: bool) -> Iterator[Visit]:
        for instruction in computation.instructions.values():
            yield Visit(computation, instruction, times, fused)
            if instruction.opcode == "while":
                body = self.computations[instruction.called("body") or ""]
                trips = self.trips(computation, instruction)
                yield from self._walk(body, times * (1 if trips is None else trips), fused)
            elif inner := instruction.called("calls"):
                within = fused or instruction.opcode == "fusion"
                yield from self._walk(self.computations[inner], times, within)
            elif instruction.opcode == "call":
                inner = instruction.called("to_apply")
                yield from self._walk(self.computations[inner or ""], times, fused)
            for branch in instruction.branches:
                yield from self._walk(self.computations[branch], times, fused)

    def trips(self, computation: Computation, loop: Instruction) -> int | None:
        """How often a `while` turns; None where the program does not say."""
        if known := _KNOWN.search(loop.attributes):
            return int(known.group(1))
        condition = self.computations[loop.called("condition") or ""]
        bound = self._bound(condition)
        if bound is None:
            return None
        index, limit, inclusive = bound
        start = self._element(computation, loop.operands[0], index)
        step = self._step(self.computations[loop.called("body") or ""], index)
        if isinstance(limit, tuple):
            limit = self._element(computation, loop.operands[0], limit[0])
        if start is None or limit is None or not step:
            return None
        return max(0, -(-(limit + inclusive - start) // step))

    def _bound(self, condition: Computation) -> tuple[int, int | tuple[int], int] | None:
        """Of `carry[index] < limit`: index, limit (or the place of it in the carry), 1 for `<=`."""
        compare, sides = self._through_fusion(condition, condition.root)
        direction = re.search(r"direction=(\w+)", compare.attributes)
        if compare.opcode != "compare" or not direction or direction.group(1) not in ("LT", "LE"):
            return None
        index, limit = (self._place(condition, side) for side in sides)
        if not isinstance(index, tuple) or limit is None:
            return None
        return index[0], limit, int(direction.group(1) == "LE")

    def _through_fusion(
        self, computation: Computation, name: str
    ) -> tuple[Instruction, tuple[str, ...]]:
        """An instruction, or the root of its fusion, with its operands seen from outside."""
        outer = computation.instructions[name]
        if outer.opcode != "fusion":
            return outer, outer.operands
        inner = self.computations[outer.called("calls") or ""]
        root = inner.instructions[inner.root]
        operands = []
        for operand in root.operands:
            instruction = inner.instructions[operand]
            at_place = instruction.opcode == "parameter" and instruction.literal.isdigit()
            operands.append(outer.operands[int(instruction.literal)] if at_place else "")
        return root, tuple(operands)

    def _place(self, computation: Computation, name: str) -> int | tuple[int] | None:
        """A constant's value, or `(index,)` for an element of a loop's carry."""
        instruction = computation.instructions.get(name)
        while instruction is not None and instruction.opcode in _COPIES:
            instruction = computation.instructions.get(instruction.operands[0])
        if instruction is None:
            return None
        if instruction.opcode == "constant" and re.fullmatch(r"-?\d+", instruction.literal):
            return int(instruction.literal)
        if instruction.opcode != "get-tuple-element":
            return None
        source = computation.instructions[instruction.operands[0]]
        index = int(re.findall(r"index=(\d+)", instruction.attributes)[0])
        if source.opcode == "tuple":
            return self._place(computation, source.operands[index])
        return (index,) if source.opcode == "parameter" else None

    def _element(self, computation: Computation, carry: str, index: int) -> int | None:
        """The constant that an element of a loop's first carry holds."""
        value = computation.instructions[carry]
        if value.opcode != "tuple":
            return None
        place = self._place(computation, value.operands[index])
        if not isinstance(place, tuple):
            return place
        outer = self.loops.get(computation.name)
        if outer is None or not self._is_kept(computation, place[0]):
            return None
        return self._element(outer[0], outer[1].operands[0], place[0])

    def _is_kept(self, body: Computation, index: int) -> bool:
        """Whether a loop's body hands this element on as it came."""
        root = body.instructions[body.root]
        return root.opcode == "tuple" and self._place(body, root.operands[index]) == (index,)

    def _step(self, body: Computation, index: int) -> int | None:
        """By how much an iteration raises this element."""
        root = body.instructions[body.root]
        if root.opcode != "tuple":
            return None
        add, sides = self._through_fusion(body, root.operands[index])
        if add.opcode in _COPIES:
            add, sides = self._through_fusion(body, add.operands[0])
        places = [self._place(body, side) for side in sides]
        constants = []
        for place in places:
            if isinstance(place, tuple) and place[0] != index and self._is_kept(body, place[0]):
                outer, loop = self.loops[body.name]
                place = self._element(outer, loop.operands[0], place[0])
            constants.append(place)
        steps = [value for value in constants if isinstance(value, int)]
        return steps[0] if add.opcode == "add" and (index,) in places and len(steps) == 1 else None
