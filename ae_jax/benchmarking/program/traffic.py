"""Bytes that a compiled program moves between main memory and the chip."""

from collections.abc import Sequence

from ae_jax.benchmarking.program.exchanges import DONE, START, continues
from ae_jax.benchmarking.program.hlo import Program, Visit
from ae_jax.benchmarking.program.hlo_text import Buffer, Computation, Instruction

_FREE = {
    "add-dependency",
    "after-all",
    "async-start",
    "bitcast",
    "call",
    "conditional",
    "constant",
    "get-tuple-element",
    "opt-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
    "while",
}
"""What moves nothing itself: names for values, and what is walked into."""
_SLICES = ("dynamic-slice", "slice", "gather", "slice-start")
_UPDATES = {"dynamic-update-slice": 1, "scatter": -1}
"""What changes its first operand in place, and which operand holds the new values."""


def traffic(program: Program, visit: Visit) -> int:
    """Bytes that an instruction moves between HBM and the chip, once.

    Each buffer that lies in HBM counts once where it is read and once where it is written; of a
    slice, gather or update in place only the part that is touched, also inside a fusion. Buffers
    that the compiler placed in memory on the chip count nothing, and neither do padding of tiles
    and operands that the hardware reads more than once: this is the least that the compiled
    schedule moves.
    """
    where, instruction = visit.computation, visit.instruction
    if instruction.opcode in _FREE or instruction.opcode.endswith(("-done", "-update")):
        return 0
    read = sum(
        _read(program, where, instruction, place)
        for place, operand in enumerate(instruction.operands)
        if _in_hbm(where.instructions[operand].buffers)
    )
    return read + _written(program, where, instruction)


def _in_hbm(buffers: Sequence[Buffer]) -> int:
    """Bytes of those that lie there."""
    return sum(buffer.nbytes for buffer in buffers if buffer.space == 0)


def _read(program: Program, where: Computation, user: Instruction, place: int) -> int:
    """Bytes of its operand number `place` that an instruction looks at."""
    whole = where.nbytes(user.operands[place])
    if DONE in user.attributes or continues(where, user):
        return 0
    if place == 0 and user.opcode in _SLICES:
        return min(whole, sum(buffer.nbytes for buffer in _results(where, user)))
    if place == 0 and user.opcode in _UPDATES:
        return 0 if user.opcode == "dynamic-update-slice" else _new_values(where, user)
    if user.opcode != "fusion":
        return whole
    inner = program.computations[user.called("calls") or ""]
    return min(whole, _used(program, inner, inner.nth_parameter(place).name))


def _used(program: Program, where: Computation, name: str) -> int:
    """Bytes of a value inside a fusion that its users look at; handing it on is not looking."""
    total = 0
    for user in where.instructions.values():
        for place, operand in enumerate(user.operands):
            if operand != name or (user.opcode == "tuple" and user.name == where.root):
                continue
            passed_on = user.opcode == "bitcast" and user.name != where.root
            total += (
                _used(program, where, user.name)
                if passed_on
                else _read(program, where, user, place)
            )
    return total


def _written(program: Program, where: Computation, instruction: Instruction) -> int:
    """Bytes in HBM that an instruction fills."""
    if instruction.opcode in _UPDATES and _in_hbm(instruction.buffers):
        return _new_values(where, instruction)
    if instruction.opcode != "fusion":
        return _in_hbm(_results(where, instruction))
    inner = program.computations[instruction.called("calls") or ""]
    roots = _roots(inner, inner.root)
    if len(roots) != len(instruction.buffers):  # one root of several arrays
        return _in_hbm(_results(inner, roots[0]))
    pairs = zip(roots, instruction.buffers, strict=True)
    return sum(_filled(program, inner, root) for root, out in pairs if out.space == 0)


def _roots(where: Computation, name: str) -> list[Instruction]:
    """The instructions behind a fusion's results, one for each array."""
    instruction = where.instructions[name]
    while instruction.opcode == "bitcast":
        instruction = where.instructions[instruction.operands[0]]
    if instruction.opcode != "tuple":
        return [instruction]
    return [root for operand in instruction.operands for root in _roots(where, operand)]


def _filled(program: Program, where: Computation, root: Instruction) -> int:
    """Bytes that a root inside a fusion fills: nothing where it hands an operand on."""
    if root.opcode == "parameter" or DONE in root.attributes or continues(where, root):
        return 0
    if root.opcode in _UPDATES:
        return _new_values(where, root)
    if root.opcode == "fusion":
        inner = program.computations[root.called("calls") or ""]
        return sum(_filled(program, inner, inner_root) for inner_root in _roots(inner, inner.root))
    return sum(buffer.nbytes for buffer in root.buffers)


def _new_values(where: Computation, update: Instruction) -> int:
    return where.nbytes(update.operands[_UPDATES[update.opcode]])


def _results(where: Computation, instruction: Instruction) -> Sequence[Buffer]:
    """The arrays an instruction fills; those that start a transfer also list what they take."""
    if instruction.opcode == "copy-start":
        return instruction.buffers[:1]
    if START in instruction.attributes:
        started = where.instructions[instruction.operands[0]]
        taken = len(started.operands)
        return instruction.buffers[taken : 2 * taken]
    if instruction.opcode.endswith("-start") and instruction.opcode != "all-reduce-start":
        taken = len(instruction.operands)
        return instruction.buffers[taken : 2 * taken]
    return instruction.buffers
