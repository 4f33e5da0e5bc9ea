"""What a training step amounts to, counted and not timed: operations, bytes, units of data."""

import math
from typing import Any

import jax

from ae_jax import config as config_lib
from ae_jax.benchmarking.pods import programs
from ae_jax.benchmarking.program import compiled, flops
from ae_jax.ops.kernels import without_kernels
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs.planning import resolve
from ae_jax.training.plan import Plan
from ae_jax.training.step import make_step
from ae_jax.types import Spec


def step_jaxpr(plan: Plan, share: int, accumulation: int = 1) -> Any:
    """One training step on a device's share of a batch, traced.

    Args:
      plan: Plan to train.
      share: examples of the batch on the device.
      accumulation: microbatches that they are split into.

    Returns:
      A jaxpr; what devices exchange is not in it.
    """
    step = make_step(plan.model, plan.players, len(plan.dataset.train), accumulation)
    leading = (share,) if accumulation == 1 else (accumulation, share // accumulation)
    batch = programs.batch_of(plan, leading)
    with without_kernels():  # whose products would not be seen
        return jax.make_jaxpr(step)(programs.state_of(plan), batch).jaxpr


def model_flops(plan: Plan, share: int) -> int:
    """Model FLOPs of a step on a device's share: forward, backward, nothing that is computed twice.

    Counted with rematerialisation off and convolutions as convolutions, whatever the platform makes
    of them: the same number on every machine. See `ae_jax.benchmarking.program.flops`.
    """
    config = config_lib.with_model(plan.config, programs.without_remat)
    if config != plan.config:
        plan = resolve(config, Recipe.from_config(config), plan.dataset)
    return flops.count_jaxpr(step_jaxpr(plan, share)).total


def unit(spec: Spec) -> tuple[str, int]:
    """What an example is counted in besides examples.

    Returns:
      `(name, how many an example has)`: "tokens" of text; "pixels" of images, positions whatever
      their channels (the last dimension of three or more); "values" of everything else.
    """
    if spec.kind == "tokens":
        return "tokens", math.prod(spec.event_shape)
    if len(spec.event_shape) >= 3:
        return "pixels", math.prod(spec.event_shape[:-1])
    return "values", math.prod(spec.event_shape)


def least_bytes(plan: Plan, state: Any, share: int) -> int:
    """What a step must move on one device: parameters and optimizer read and written, the batch.

    Activations, gradients and noise are left out: caches may hold them.

    Args:
      plan: Plan to train.
      state: TrainState on the devices.
      share: examples of the batch on the device.
    """
    kept = (state.variables, state.optimizer, state.average)
    record = programs.nbytes(plan.dataset.train.spec)
    return 2 * programs.shard_nbytes(kept) + share * record


def program_memory(executable: Any) -> dict[str, int] | None:
    """Bytes that a compiled program needs on one device; None where the compiler does not tell.

    Args:
      executable: `jax.stages.Compiled`.

    Returns:
      "arguments", "outputs", of these "aliased" (donated), "temporaries", "code", and their
      "total".
    """
    stats = executable.memory_analysis()
    if stats is None:
        return None
    memory = {
        "arguments": stats.argument_size_in_bytes,
        "outputs": stats.output_size_in_bytes,
        "aliased": stats.alias_size_in_bytes,
        "temporaries": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }
    return memory | {"total": sum(memory.values()) - 2 * memory["aliased"]}


def compiled_work(executable: Any, devices: int) -> dict[str, int | float | None]:
    """What the compiler made of a step, read from the program.

    Args:
      executable: `jax.stages.Compiled`, of a device loop over steps.
      devices: that it runs on.

    Returns:
      "xla", the compiler's own count of operations on all devices, elementwise ones too, with the
      body of every loop counted once, so that of the loop over steps it counts one, and of a loop
      within the step too little; "xla_products", matrix products and convolutions alone, read from
      the text with inner loops counted as often as they turn (0 where the compiler calls a library
      instead, as on GPUs); "collective_bytes", what each device must send at least in a step. None
      stands for what could not be read.
    """
    costs = executable.cost_analysis()
    costs = costs[0] if isinstance(costs, list) else costs
    counted = costs.get("flops") if costs else None
    try:
        work = compiled.work(executable.as_text())
    except (IndexError, KeyError, ValueError):  # written by a compiler that we have not read yet
        work = None
    return {
        "xla": None if counted is None else int(counted * devices),
        "xla_products": None if work is None else work.flops * devices,
        "collective_bytes": None
        if work is None
        else sum(c.times * c.sent for c in work.collectives),
    }
