"""What this machine can do at most, measured on the spot: the limits that a step is held against.

Three programs run on the devices of the step, all of them at once:

- the step's own matrix products and convolutions and nothing else, at the same shapes and dtypes;
- one large square matrix product in the dtype of most of them: the peak for computing;
- `a ← q a + b` over arrays much larger than the caches: the bandwidth of main memory (the triad of
  McCalpin 1995, "Memory bandwidth and machine balance in current high performance computers", with
  its result written over an operand: two reads and a write).

A step takes at least as long as its products alone, and as moving what it must read and write.
Both are bounds of this software on this hardware, not of the hardware: another library may multiply
faster.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ae_jax.benchmarking.program import compiled, flops

AXIS = "device"
REPEATS = 5
LONGEST = 2**20
"""Most turns of a device loop in one measurement."""
GEMM = {"cpu": 2048}
GEMM_DEFAULT = 8192
"""Rows and columns of the large matrix product."""
TRIAD_BYTES = {"cpu": 128 * 2**20}
TRIAD_DEFAULT = 512 * 2**20
"""Of each of the two arrays of the triad."""


class Operation(NamedTuple):
    """A matrix product or convolution of a step.

    Attributes:
      equation: equation of the jaxpr, one of those that are alike.
      times: how often a step computes its like.
      flops: FLOPs of one.
    """

    equation: Any
    times: int
    flops: int

    @property
    def avals(self) -> tuple[Any, ...]:
        """Shapes and dtypes of its operands."""
        return tuple(var.aval for var in self.equation.invars)

    @property
    def dtype(self) -> str:
        """Of its first operand."""
        return str(self.avals[0].dtype)

    def to_dict(self) -> dict[str, Any]:
        """For a report."""
        return {
            "operation": self.equation.primitive.name,
            "operands": [f"{aval.dtype}{list(aval.shape)}" for aval in self.avals],
            "times": self.times,
            "flops": self.flops,
        }


def operations(jaxpr: Any, platform: str | None) -> list[Operation]:
    """Every matrix product and convolution of a program, those that are alike counted together.

    Args:
      jaxpr: a `jax.extend.core.Jaxpr`, e.g. of a training step.
      platform: platform, see `ae_jax.benchmarking.program.flops.count`.

    Returns:
      Operations in the order in which the first of each kind is met; `Σ times · flops` is what
      `count` counts.
    """
    found: dict[tuple, Operation] = {}
    for equation, times in flops.distinct(jaxpr, platform):
        each = flops.of_equation(equation).total
        if not each:
            continue
        alike = (str(equation.params), *(str(var.aval) for var in equation.invars))
        before = found.get(alike, Operation(equation, 0, each))
        found[alike] = before._replace(times=before.times + times)
    return list(found.values())


def total_flops(found: Sequence[Operation]) -> int:
    """Of all of them, as often as they are computed."""
    return sum(operation.times * operation.flops for operation in found)


def main_dtype(found: Sequence[Operation]) -> str:
    """The dtype in which most operations are computed; float32 if there are none."""
    totals: dict[str, int] = {}
    for operation in found:
        spent = operation.times * operation.flops
        totals[operation.dtype] = totals.get(operation.dtype, 0) + spent
    return max(totals, key=lambda dtype: totals[dtype], default="float32")


class Alone(NamedTuple):
    """A program of operations and nothing else.

    Attributes:
      program: jitted, `(turns, operands) -> results`; each turn computes every operation as often
        as a step does.
      operands: on the devices, a tuple an operation.
      flops: FLOPs of one turn on one device.
    """

    program: Any
    operands: Any
    flops: int


def alone(found: Sequence[Operation], devices: Sequence[Any]) -> Alone:
    """The operations of a step in a device loop, each device computing all of them.

    Alike operations share operands. Optimization barriers hold the compiler back from taking a
    product whose operands never change out of the loop, or from computing one for several: through
    them every operation hangs on the turn before, and nothing is moved or computed for it. All
    results are carried to the end of the loop, so that none can be left out; operations that are
    not alike may run side by side, as they may within the step.

    Args:
      found: operations of `operations`, at least one.
      devices: each computes all of them.

    Returns:
      An Alone.
    """

    def run(turns: Any, operands: Any) -> Any:
        def turn(_: Any, carry: Any) -> Any:
            token, results = carry
            each = zip(found, operands, results, strict=True)
            done = [_repeated(operation, own, (token, result)) for operation, own, result in each]
            tokens, results = zip(*done, strict=True)
            return jax.lax.optimization_barrier(tokens)[0], results

        shapes = (operation.equation.outvars[0].aval for operation in found)
        results = tuple(jnp.zeros(shape.shape, shape.dtype) for shape in shapes)
        return jax.lax.fori_loop(0, turns, turn, (jnp.float32(0), results))[1]

    operands = tuple(
        tuple(_on_all(_filled(aval.shape, aval.dtype), devices) for aval in operation.avals)
        for operation in found
    )
    return Alone(_mapped(run, devices), operands, total_flops(found))


def complete(made: Alone) -> bool | None:
    """Whether the compiled program still computes every operation in every turn.

    Returns:
      None where its text does not tell: on GPUs products become calls of a library.
    """
    (device, *_) = made.operands[0][0].devices()
    if device.platform == "gpu":
        return None
    text = made.program.lower(jnp.int32(1), made.operands).compile().as_text()
    return compiled.work(text).flops == made.flops


def _repeated(operation: Operation, operands: Any, carry: Any) -> Any:
    """`(token, result)` after computing an operation as often as a step does."""
    equation = operation.equation

    def once(_: Any, carry: Any) -> Any:
        first, token = jax.lax.optimization_barrier((operands[0], carry[0]))
        result = equation.primitive.bind(first, *operands[1:], **equation.params)
        result, token = jax.lax.optimization_barrier((result, token))
        return token, result

    if operation.times == 1:
        return once(0, carry)
    return jax.lax.fori_loop(0, operation.times, once, carry)


def turn_seconds(made: Alone, seconds: float) -> list[float]:
    """Times the program.

    Args:
      made: program of `alone`.
      seconds: time to spend, compilation left out; no less than a few turns.

    Returns:
      Seconds of one turn, `REPEATS` of them.
    """
    run = lambda turns: _timed(lambda: made.program(jnp.int32(turns), made.operands)) / turns
    run(1)  # compiles
    turns = int(np.clip(seconds / REPEATS / max(run(1), 1e-9), 1, LONGEST))
    turns = int(np.clip(seconds / REPEATS / max(run(turns), 1e-9), 1, LONGEST))
    return [run(turns) for _ in range(REPEATS)]


def bound(
    products: float, moved: int, bandwidth: float, cache: int | None, step: float
) -> dict[str, Any]:
    """The least time of a step by the limits of this machine, and how near it the step is.

    Args:
      products: seconds of its products alone.
      moved: bytes that it reads and writes at least.
      bandwidth: bytes a second.
      cache: bytes of a cache in which what is moved may stay; None: there is none to speak of.
      step: seconds of the whole step.

    Returns:
      "products_seconds"; "memory_bytes"; "memory_seconds", and "memory_counts", False where all of
      it fits in the cache, since then it bounds nothing; "seconds", the larger of those that count;
      "held_by", "products" or "memory"; "fraction", `seconds / step`.
    """
    memory, counts = moved / bandwidth, cache is None or moved > cache
    held = "memory" if counts and memory > products else "products"
    least = memory if held == "memory" else products
    return {
        "products_seconds": products,
        "memory_bytes": moved,
        "memory_seconds": memory,
        "memory_counts": counts,
        "seconds": least,
        "held_by": held,
        "fraction": least / step,
    }


def gemm_peak(dtype: str, devices: Sequence[Any], seconds: float, size: int | None = None) -> float:
    """Operations a second of one large square matrix product on each device.

    Args:
      dtype: dtype of its operands.
      devices: at once.
      seconds: time to spend.
      size: rows and columns; None: 2048 on CPU, 8192 elsewhere.

    Returns:
      FLOP/s of one device, the median.
    """
    size = size or GEMM.get(devices[0].platform, GEMM_DEFAULT)
    struct = jax.ShapeDtypeStruct((size, size), dtype)
    product = jax.make_jaxpr(lambda a, b: a @ b)(struct, struct).jaxpr
    made = alone(operations(product, None), devices)
    return made.flops / statistics.median(turn_seconds(made, seconds))


def bandwidth(devices: Sequence[Any], seconds: float, nbytes: int | None = None) -> float:
    """Bytes a second between main memory and each device.

    Args:
      devices: at once.
      seconds: time to spend, at least three calls.
      nbytes: bytes of each of the two arrays; None: 128 MiB on CPU, 512 MiB elsewhere.

    Returns:
      Bytes/s of one device, the median: two reads and a write of each element.
    """
    nbytes = nbytes or TRIAD_BYTES.get(devices[0].platform, TRIAD_DEFAULT)
    a, b = (_on_all(np.ones(nbytes // 4, np.float32), devices) for _ in range(2))
    triad = _mapped(lambda a, b: 0.5 * a + b, devices, donate=(0,))
    times: list[float] = []
    ended = None
    while ended is None or len(times) < 3 or time.perf_counter() < ended:
        began = time.perf_counter()
        a = jax.block_until_ready(triad(a, b))
        if ended is not None:
            times.append(time.perf_counter() - began)
        else:  # that one compiled
            ended = time.perf_counter() + seconds
    return 3 * a.nbytes / statistics.median(times)


def _mapped(function: Callable, devices: Sequence[Any], donate: tuple[int, ...] = ()) -> Any:
    """The function on each device at once, of arguments that all of them hold."""
    mesh, same = Mesh(np.asarray(devices), (AXIS,)), PartitionSpec()
    mapped = jax.shard_map(function, mesh=mesh, in_specs=same, out_specs=same, check_vma=False)
    return jax.jit(mapped, donate_argnums=donate)


def _on_all(value: np.ndarray, devices: Sequence[Any]) -> jax.Array:
    mesh = Mesh(np.asarray(devices), (AXIS,))
    return jax.device_put(value, NamedSharding(mesh, PartitionSpec()))


def _filled(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Numbers that are no zeros: some hardware multiplies those with less power, hence faster."""
    drawn = np.random.default_rng(0).standard_normal(2**16, np.float32)
    return np.resize(drawn, shape).astype(dtype)


def _timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - began
