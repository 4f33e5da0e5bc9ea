"""Collectives of a compiled program: what is exchanged, how much of it, among whom."""

import math
import re
from typing import NamedTuple

import numpy as np

from ae_jax.benchmarking.program.hlo import Visit
from ae_jax.benchmarking.program.hlo_text import Computation, Instruction

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
START, DONE = "AsyncCollectiveStart", "AsyncCollectiveDone"
"""Custom calls at both ends of a collective that a TPU runs beside other work. The collective is
written in the fusion that starts it, in each that it runs beside, and in the one that ends it."""


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


def continues(computation: Computation, instruction: Instruction) -> bool:
    """Whether a collective was started in an earlier fusion."""
    started = START in computation.instructions[computation.root].attributes
    return "chain_id=" in instruction.attributes and not started


def collective(visit: Visit) -> Collective | None:
    """The collective that an instruction is, if it is one between devices."""
    instruction = visit.instruction
    kind = instruction.opcode.removesuffix("-start")
    if kind not in KINDS or continues(visit.computation, instruction):
        return None
    group = groups(instruction.attributes)[0]
    if len(group) < 2:
        return None
    payload = sum(visit.computation.nbytes(operand) for operand in instruction.operands)
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
