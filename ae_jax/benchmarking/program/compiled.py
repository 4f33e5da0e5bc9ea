"""What a compiled program does on one device in one step: operations, memory traffic, collectives.

All three are read from the compiled text with loops counted as often as they turn (see
`ae_jax.benchmarking.program.hlo`).
"""

import math
import re
from typing import NamedTuple

from ae_jax.benchmarking.program.exchanges import Collective, collective
from ae_jax.benchmarking.program.flops import taps
from ae_jax.benchmarking.program.hlo import Program
from ae_jax.benchmarking.program.hlo_text import Computation, Instruction
from ae_jax.benchmarking.program.traffic import traffic


class Work(NamedTuple):
    """What one device does in one step.

    Attributes:
      flops: operations of matrix products and convolutions, what is computed again included.
      hbm_bytes: bytes moved, see `ae_jax.benchmarking.program.traffic.traffic`.
      collectives: collectives in the order of the program; those over a single device left out.
      unknown_loops: loops whose number of turns the program does not hold, counted once.
    """

    flops: int
    hbm_bytes: int
    collectives: tuple[Collective, ...]
    unknown_loops: tuple[str, ...]


def work(text: str) -> Work:
    """Reads a compiled program.

    Args:
      text: text of `compiled.as_text()`.

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
        if exchange := collective(visit):
            exchanges.append(exchange)
        if instruction.opcode == "while" and program.trips(visit.computation, instruction) is None:
            unknown.append(instruction.name)
    return Work(flops, hbm, tuple(exchanges), tuple(unknown))


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
    window = re.search(r"window=\{([^}]*)\}", attributes)
    fields = dict(part.split("=") for part in window.group(1).split()) if window else {}

    def values(name: str, default: int) -> list[int]:
        if name not in fields:
            return [default] * axes
        return [int(part.split("_")[0]) for part in fields[name].split("x")]

    each = (values(*f) for f in (("stride", 1), ("pad", 0), ("lhs_dilate", 1), ("rhs_dilate", 1)))
    return list(zip(*each, strict=True))
