"""What a compiled program does on one device in one step: operations, memory traffic, collectives.

All three are read from the compiled text with loops counted as often as they turn (see
`ae_jax.benchmarking.hlo`).
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ae_jax.benchmarking.flops import taps
from ae_jax.benchmarking.hlo import Buffer, Computation, Instruction, Program, Visit

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "while",
    "conditional",
    "call",
    "after-all",
    "partition-id",
    "replica-id",
    "async-start",
    "async-update",
    "opt-barrier",
    "add-dependency",
}
_SLICES = ("dynamic-slice", "slice", "gather", "slice-start")


class Collective(NamedTuple):
    """One exchange between devices.

    Attributes:
      kind: one of `KINDS`.
      payload: bytes, of one device, of the larger of operand and result: what is reduced,
        scattered or exchanged, or the result of a gather.
      group: the numbers of the devices of one group.
      times: how often a step does it.
      origin: what it came from in the traced program.
    """

    kind: str
    payload: int
    group: tuple[int, ...]
    times: int
    origin: str = ""

    @property
    def sent(self) -> float:
        """Bytes that each device must send at least, each time.

        An all-reduce of B bytes over n devices: 2 (n - 1) / n B; a gather, scatter or all-to-all:
        (n - 1) / n B; a permutation or broadcast: B (Thakur, Rabenseifner & Gropp 2005,
        "Optimization of collective communication operations in MPICH").
        """
        share = (len(self.group) - 1) / len(self.group)
        factors = {"all-reduce": 2 * share, "collective-permute": 1.0, "collective-broadcast": 1.0}
        return factors.get(self.kind, share) * self.payload


class Work(NamedTuple):
    """What one device does in one step.

    Attributes:
      flops: operations of matrix products and convolutions, what is computed again included.
      hbm_bytes: see `traffic`.
      collectives: in the order of the program; those over a single device left out.
      unknown_loops: loops whose number of turns the program does not hold, counted once.
    """

    flops: int
    hbm_bytes: int
    collectives: tuple[Collective, ...]
    unknown_loops: tuple[str, ...]


def work(text: str) -> Work:
    """Reads a compiled program.

    Args:
      text: of `compiled.as_text()`.

    Returns:
      Work.
    """
    program = Program(text)
    flops = hbm = 0
    exchanges, unknown = [], []
    for visit in program.walk():
        instruction = visit.instruction
        if instruction.opcode in ("dot", "convolution"):
            flops += visit.times * _flops(visit.computation, instruction)
        if not visit.fused:
            hbm += visit.times * traffic(program, visit)
        if found := _collective(visit):
            exchanges.append(found)
        if instruction.opcode == "while" and program.trips(visit.computation, instruction) is None:
            unknown.append(instruction.name)
    return Work(flops, hbm, tuple(exchanges), tuple(unknown))


def traffic(program: Program, visit: Visit) -> int:
    """Bytes that an instruction moves between HBM and the chip, once.

    Each buffer that lies in HBM counts once where it is read and once where it is written; of a
    slice, gather or update in place only the part that is touched, also inside a fusion. Buffers
    that the compiler placed in memory on the chip count nothing, and neither do padding of tiles
    and operands that the hardware reads more than once: this is the least that the compiled
    schedule moves.
    """
    computation, instruction = visit.computation, visit.instruction
    if instruction.opcode in _FREE or instruction.opcode.endswith(("-done", "-update")):
        return 0
    read = sum(
        _read(program, computation, instruction, place)
        for place, operand in enumerate(instruction.operands)
        if any(buffer.space == 0 for buffer in computation.instructions[operand].buffers)
    )
    return read + _written(program, computation, instruction)


def _read(program: Program, computation: Computation, user: Instruction, place: int) -> int:
    """Bytes of its operand number `place` that an instruction looks at."""
    operand = computation.instructions[user.operands[place]]
    whole = sum(buffer.nbytes for buffer in operand.buffers)
    if user.opcode in _SLICES and place == 0:
        return min(whole, _largest(_results(user)))
    if user.opcode == "dynamic-update-slice" and place == 0:
        return 0
    if user.opcode == "scatter" and place == 0:
        return min(whole, _size(computation, user.operands[-1]))
    if user.opcode != "fusion":
        return whole
    inner = program.computations[user.called("calls") or ""]
    return min(whole, _used(program, inner, inner.nth_parameter(place).name))


def _used(program: Program, computation: Computation, name: str) -> int:
    """Bytes of a value inside a fusion that its users look at."""
    total = 0
    for user in computation.instructions.values():
        for place, operand in enumerate(user.operands):
            if operand == name:
                passed_on = user.opcode == "bitcast" and user.name != computation.root
                total += (
                    _used(program, computation, user.name)
                    if passed_on
                    else _read(program, computation, user, place)
                )
    return total


def _written(program: Program, computation: Computation, instruction: Instruction) -> int:
    if instruction.opcode == "fusion":
        inner = program.computations[instruction.called("calls") or ""]
        roots = _roots(inner, inner.root)
        return sum(
            _update(program, inner, root) if len(instruction.buffers) == len(roots) else out.nbytes
            for root, out in zip(roots, instruction.buffers, strict=False)
            if out.space == 0
        )
    if any(buffer.space == 0 for buffer in _results(instruction)):
        if instruction.opcode in ("dynamic-update-slice", "scatter"):
            return _update(program, computation, instruction)
        return sum(buffer.nbytes for buffer in _results(instruction) if buffer.space == 0)
    return 0


def _roots(computation: Computation, name: str) -> list[Instruction]:
    """The instructions behind a fusion's results, one for each array."""
    instruction = computation.instructions[name]
    while instruction.opcode == "bitcast":
        instruction = computation.instructions[instruction.operands[0]]
    if instruction.opcode != "tuple":
        return [instruction]
    return [root for operand in instruction.operands for root in _roots(computation, operand)]


def _update(program: Program, computation: Computation, instruction: Instruction) -> int:
    """Bytes written by an instruction whose result may be an operand updated in place."""
    if instruction.opcode == "dynamic-update-slice":
        return _size(computation, instruction.operands[1])
    if instruction.opcode == "scatter":
        return _size(computation, instruction.operands[-1])
    if instruction.opcode == "fusion":
        inner = program.computations[instruction.called("calls") or ""]
        return sum(_update(program, inner, root) for root in _roots(inner, inner.root))
    return sum(buffer.nbytes for buffer in instruction.buffers)


def _results(instruction: Instruction) -> Sequence[Buffer]:
    """The arrays an instruction fills; those that start a transfer also list what they take."""
    if instruction.opcode == "copy-start":
        return instruction.buffers[:1]
    if instruction.opcode.endswith("-start") and instruction.opcode != "all-reduce-start":
        taken = len(instruction.operands)
        return instruction.buffers[taken : 2 * taken]
    return instruction.buffers


def _size(computation: Computation, name: str) -> int:
    return sum(buffer.nbytes for buffer in computation.instructions[name].buffers)


def _largest(of: Iterable[Buffer]) -> int:
    return max((buffer.nbytes for buffer in of), default=0)


def _flops(computation: Computation, instruction: Instruction) -> int:
    out = instruction.buffers[0].shape
    lhs, rhs = (computation.instructions[name].buffers[0].shape for name in instruction.operands)
    if instruction.opcode == "dot":
        contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.attributes)
        axes = [int(n) for n in contracted.group(1).split(",") if n] if contracted else []
        return 2 * math.prod(out) * math.prod(lhs[axis] for axis in axes)
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    if labels is None:
        raise ValueError(f"a convolution without dim_labels: {instruction.attributes[:200]}")
    at_lhs, at_rhs, at_out = labels.groups()
    window = _window(instruction.attributes, len(out) - 2)
    meetings = 1
    for axis in range(len(out) - 2):
        sizes = (
            shape[at.index(str(axis))]
            for shape, at in ((out, at_out), (rhs, at_rhs), (lhs, at_lhs))
        )
        stride, low, input_dilation, kernel_dilation = window[axis]
        meetings *= taps(
            *sizes,
            stride=stride,
            low=low,
            input_dilation=input_dilation,
            kernel_dilation=kernel_dilation,
        )
    outputs = out[at_out.index("b")] * out[at_out.index("f")]
    return 2 * meetings * outputs * rhs[at_rhs.index("i")]


def _window(attributes: str, axes: int) -> list[tuple[int, int, int, int]]:
    """Stride, padding before, dilation of input and of kernel, for each spatial axis."""
    found = re.search(r"window=\{([^}]*)\}", attributes)
    fields = dict(part.split("=") for part in found.group(1).split()) if found else {}

    def values(name: str, default: int) -> list[int]:
        if name not in fields:
            return [default] * axes
        return [int(part.split("_")[0]) for part in fields[name].split("x")]

    each = (values(*f) for f in (("stride", 1), ("pad", 0), ("lhs_dilate", 1), ("rhs_dilate", 1)))
    return list(zip(*each, strict=True))


def _collective(visit: Visit) -> Collective | None:
    instruction = visit.instruction
    kind = instruction.opcode.removesuffix("-start")
    if kind not in KINDS:
        return None
    group = groups(instruction.attributes)[0]
    if len(group) < 2:
        return None
    payload = sum(_size(visit.computation, operand) for operand in instruction.operands)
    payload *= len(group) if kind == "all-gather" else 1
    origin = re.search(r'op_name="([^"]*)"', instruction.attributes)
    return Collective(kind, payload, group, visit.times, origin.group(1) if origin else "")


def groups(attributes: str) -> list[tuple[int, ...]]:
    """The devices that exchange with each other, from any of the forms in which XLA writes them.

    Listed (`{{0,1},{2,3}}`), as an iota (`[2,2]<=[2,2]T(1,0)`), or by the axes of a mesh; of a
    permutation, its sources and targets.
    """
    if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", attributes):
        return [tuple(map(int, re.findall(r"\d+", pair))) for pair in pairs.group(1).split("},")]
    field = attributes.split("replica_groups=", 1)[-1]
    if named := re.match(
        r"mesh\[([^\]]*)\](?:, device_ids=\(([^)]*(?:\)[^)]*)?)\))? \{([^}]*)\}", field
    ):
        sizes, order, over = named.groups()
        axes = dict(re.findall(r"'(\w+)'=(\d+)", sizes))
        shape = tuple(map(int, axes.values()))
        ids = _iota(order, math.prod(shape)).reshape(shape)
        chosen = [list(axes).index(axis) for axis in re.findall(r"'(\w+)'", over)]
        kept = [axis for axis in range(len(shape)) if axis not in chosen]
        ids = ids.transpose(*kept, *chosen).reshape(-1, math.prod(shape[a] for a in chosen))
    elif iota := re.match(r"\[([\d,]+)\](<=\[[\d,]+\](?:T\([\d,]+\))?)", field):
        shape = tuple(map(int, iota.group(1).split(",")))
        ids = _iota(iota.group(2), math.prod(shape)).reshape(shape)
    else:
        listed = re.match(r"\{(.*?)\}\}", field)
        inner = listed.group(1).split("},") if listed else []
        return [tuple(map(int, re.findall(r"\d+", group))) for group in inner]
    return [tuple(map(int, row)) for row in ids]


def _iota(text: str | None, size: int) -> np.ndarray:
    """The numbers of `[16,16]T(1,0)`, transposed, in a row."""
    shape = re.search(r"\[([\d,]+)\](?:T\(([\d,]+)\))?$", text or "")
    if shape is None:
        return np.arange(size)
    ids = np.arange(size).reshape(tuple(map(int, shape.group(1).split(","))))
    if shape.group(2):
        ids = ids.transpose(tuple(map(int, shape.group(2).split(","))))
    return ids.reshape(-1)
