"""A step's matrix products and convolutions, and the time of them alone."""

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
    by_kind: dict[tuple, Operation] = {}
    for equation, times in flops.distinct(jaxpr, platform):
        each = flops.of_equation(equation).total
        if not each:
            continue
        alike = (str(equation.params), *(str(var.aval) for var in equation.invars))
        before = by_kind.get(alike, Operation(equation, 0, each))
        by_kind[alike] = before._replace(times=before.times + times)
    return list(by_kind.values())


def total_flops(products: Sequence[Operation]) -> int:
    """Of all of them, as often as they are computed."""
    return sum(operation.times * operation.flops for operation in products)


def main_dtype(products: Sequence[Operation]) -> str:
    """The dtype in which most operations are computed; float32 if there are none."""
    totals: dict[str, int] = {}
    for operation in products:
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


def alone(products: Sequence[Operation], devices: Sequence[Any]) -> Alone:
    """The operations of a step in a device loop, each device computing all of them.

    Alike operations share operands. Optimization barriers hold the compiler back from taking a
    product whose operands never change out of the loop, or from computing one for several: through
    them every operation hangs on the turn before, and nothing is moved or computed for it. All
    results are carried to the end of the loop, so that none can be left out; operations that are
    not alike may run side by side, as they may within the step.

    Args:
      products: operations of `operations`, at least one.
      devices: each computes all of them.

    Returns:
      An Alone.
    """

    def run(turns: Any, operands: Any) -> Any:
        def turn(_: Any, carry: Any) -> Any:
            token, results = carry
            each = zip(products, operands, results, strict=True)
            done = [
                _repeated(operation, given, (token, result)) for operation, given, result in each
            ]
            tokens, results = zip(*done, strict=True)
            return jax.lax.optimization_barrier(tokens)[0], results

        shapes = (operation.equation.outvars[0].aval for operation in products)
        results = tuple(jnp.zeros(shape.shape, shape.dtype) for shape in shapes)
        return jax.lax.fori_loop(0, turns, turn, (jnp.float32(0), results))[1]

    operands = tuple(
        tuple(on_all(_filled(aval.shape, aval.dtype), devices) for aval in operation.avals)
        for operation in products
    )
    return Alone(mapped(run, devices), operands, total_flops(products))


def complete(product_loop: Alone) -> bool | None:
    """Whether the compiled program still computes every operation in every turn.

    Returns:
      None where its text does not tell: on GPUs products become calls of a library.
    """
    (device, *_) = product_loop.operands[0][0].devices()
    if device.platform == "gpu":
        return None
    text = product_loop.program.lower(jnp.int32(1), product_loop.operands).compile().as_text()
    return compiled.work(text).flops == product_loop.flops


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


def turn_seconds(product_loop: Alone, seconds: float) -> list[float]:
    """Times the program.

    Args:
      product_loop: program of `alone`.
      seconds: time to spend, compilation left out; no less than a few turns.

    Returns:
      Seconds of one turn, `REPEATS` of them.
    """
    run = lambda turns: (
        _timed(lambda: product_loop.program(jnp.int32(turns), product_loop.operands)) / turns
    )
    run(1)  # compiles
    turns = int(np.clip(seconds / REPEATS / max(run(1), 1e-9), 1, LONGEST))
    turns = int(np.clip(seconds / REPEATS / max(run(turns), 1e-9), 1, LONGEST))
    return [run(turns) for _ in range(REPEATS)]


def mapped(function: Callable, devices: Sequence[Any], donate: tuple[int, ...] = ()) -> Any:
    """The function on each device at once, of arguments that all of them hold."""
    mesh, same = Mesh(np.asarray(devices), (AXIS,)), PartitionSpec()
    mapped = jax.shard_map(function, mesh=mesh, in_specs=same, out_specs=same, check_vma=False)
    return jax.jit(mapped, donate_argnums=donate)


def on_all(value: np.ndarray, devices: Sequence[Any]) -> jax.Array:
    """The value on every device."""
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
