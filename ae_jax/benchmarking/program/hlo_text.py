"""What XLA prints of a compiled program, parsed: computations, their instructions, buffers."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

BITS = {"pred": 8, "token": 0, "opaque": 0, "c64": 64, "c128": 128}
_NAME = r"%?([\w.\-]+)"
_HEADER = re.compile(rf"^(?:ENTRY )?{_NAME} \(.*\) -> .*\{{$")
_LEAF = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,<=\s]*)\](?:\{([^}]*)\})?")
_SPACE = re.compile(r"S\((\d+)\)")
_CALLED = re.compile(r"\b(calls|body|condition|to_apply)=%?([\w.\-]+)")
_BRANCHES = re.compile(
    r"\bbranch_computations=\{([^}]*)\}|\b(?:true|false)_computation=%?([\w.\-]+)"
)


class Buffer(NamedTuple):
    """One array.

    Attributes:
      dtype: as XLA writes it.
      shape: shape of one device's part.
      space: memory space; 0 is the device's main memory (HBM), others lie on the chip.
    """

    dtype: str
    shape: tuple[int, ...]
    space: int

    @property
    def nbytes(self) -> int:
        """Its size without padding."""
        digits = re.search(r"\d+", self.dtype)
        bits = BITS.get(self.dtype, int(digits.group()) if digits else 8)
        return math.prod(self.shape) * bits // 8


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: unique in its computation.
      opcode: such as "fusion".
      buffers: buffers of the result, tuples flattened.
      operands: names of instructions of the same computation.
      literal: what stands in the parentheses, e.g. a constant's value.
      attributes: the rest of the line.
    """

    name: str
    opcode: str
    buffers: tuple[Buffer, ...]
    operands: tuple[str, ...]
    literal: str
    attributes: str

    def called(self, attribute: str) -> str | None:
        """The computation named by `attribute=`."""
        return next((n for key, n in _CALLED.findall(self.attributes) if key == attribute), None)

    @property
    def branches(self) -> list[str]:
        """Of a conditional."""
        names = []
        for several, one in _BRANCHES.findall(self.attributes):
            names += [n.strip().lstrip("%") for n in several.split(",")] if several else [one]
        return names


class Computation(NamedTuple):
    """Instructions in the order they run.

    Attributes:
      name: unique in the program.
      instructions: instructions by name.
      root: the name of the result.
    """

    name: str
    instructions: Mapping[str, Instruction]
    root: str

    def nbytes(self, name: str) -> int:
        """The size of an instruction's result."""
        return sum(buffer.nbytes for buffer in self.instructions[name].buffers)

    def nth_parameter(self, number: int) -> Instruction:
        """The parameter of this number."""
        return next(
            instruction
            for instruction in self.instructions.values()
            if instruction.opcode == "parameter" and instruction.literal == str(number)
        )


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """The computations of `compiled.as_text()` by name, and the name of the entry."""
    computations: dict[str, Computation] = {}
    entry = name = root = ""
    instructions: dict[str, Instruction] | None = None
    for line in text.splitlines():
        if instructions is None:
            if header := _HEADER.match(line):
                name, instructions = header.group(1), {}
                entry = name if line.startswith("ENTRY") else entry
        elif line.startswith("}"):
            computations[name] = Computation(name, instructions, root)
            instructions = None
        elif " = " in line:
            instruction = _instruction(line.strip())
            instructions[instruction.name] = instruction
            root = instruction.name if line.lstrip().startswith("ROOT ") else root
    return computations, entry


def _instruction(line: str) -> Instruction:
    left, right = line.removeprefix("ROOT ").split(" = ", 1)
    shape, rest = _cut(right, " ")
    opcode, rest = rest.lstrip().split("(", 1)
    inside, attributes = _cut(rest, ")")
    return Instruction(
        left.strip().lstrip("%"),
        opcode,
        buffers(shape),
        tuple(re.findall(r"%([\w.\-]+)", inside)),
        inside.strip(),
        attributes,
    )


def _cut(text: str, end: str) -> tuple[str, str]:
    """What comes before `end` outside all brackets, and what after."""
    depth = 0
    for at, character in enumerate(text):
        if character == end and depth == 0:
            return text[:at], text[at + 1 :]
        depth += (character in "({[") - (character in ")}]")
    return text, ""


def buffers(shape: str) -> tuple[Buffer, ...]:
    """The arrays of a shape as XLA writes it, tuples flattened."""
    arrays = []
    for dtype, sizes, layout in _LEAF.findall(shape):
        space = _SPACE.search(layout)
        shape_of = tuple(int(n.strip("<= ")) for n in sizes.split(",") if n.strip())
        arrays.append(Buffer(dtype, shape_of, int(space.group(1)) if space else 0))
    return tuple(arrays)
