"""The training program of a config, lowered for TPUs that need not be there.

It is the program that a run dispatches, on data that lie on the device or streamed to it, whichever
the run would have: a device loop over steps whose number is an argument, so that what is read from
it with that loop counted once is one step. State is donated.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import config as config_lib
from ae_jax.benchmarking.hardware.chips import Slice
from ae_jax.benchmarking.program import flops
from ae_jax.benchmarking.program.flops import Flops
from ae_jax.config.sections import Config, ConfigLike, Parallel
from ae_jax.data import blocks as streaming
from ae_jax.data.source import Records
from ae_jax.data.sources.files import require
from ae_jax.ops.kernels import without_kernels
from ae_jax.runs.planning import plan_without_data
from ae_jax.training import programs as engine
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.strategy import Strategy
from ae_jax.training.plan import Plan
from ae_jax.training.state import TrainState
from ae_jax.training.step import make_step, metric_names
from ae_jax.types import DEVICE_AXIS, Batch, Tree

COLLECTIVES = {
    "psum": "all-reduce",
    "psum_invariant": "all-reduce",
    "pmax": "all-reduce",
    "pmin": "all-reduce",
    "all_gather": "all-gather",
    "all_gather_invariant": "all-gather",
    "reduce_scatter": "reduce-scatter",
    "all_to_all": "all-to-all",
    "ppermute": "collective-permute",
}
"""Primitives of a traced step and what they become."""


class Training(NamedTuple):
    """One training program.

    Attributes:
      plan: plan of the config, whose batch is one chip's.
      strategy: over the chips.
      share: examples a step on each device.
      engine: "resident" or "streaming".
      block_steps: batches of a streamed block; 0 for resident data.
      state: TrainState of shapes, global ones.
      arguments: arguments of the program, shapes with shardings.
      program: program to lower with them.
    """

    plan: Plan
    strategy: Strategy
    share: int
    engine: str
    block_steps: int
    state: TrainState
    arguments: tuple[Tree, ...]
    program: Any

    @property
    def batch_size(self) -> int:
        """Of the global batch."""
        return self.share * len(self.strategy.devices)

    def lower(self) -> Any:
        """`jax.stages.Lowered`."""
        return self.program.lower(*self.arguments)


def devices_of(where: Slice) -> list[Any]:
    """The abstract devices of a slice, from the TPU compiler in `libtpu`.

    Raises:
      MissingFileError: libtpu is not installed.
    """
    require("libtpu", "compiling for TPUs (no TPU is needed)", '-e ".[tpu-compile]"')
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no machine of a cloud's to ask
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # nor a TPU to share
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", f"{where.chip.name}-{where.size}")
    from jax.experimental import topologies

    return list(topologies.get_topology_desc(where.name, platform="tpu").devices)


def training(
    config: ConfigLike, devices: list[Any], strategy: str | None = None, cores: int = 1
) -> Training:
    """The training program of a config over these devices.

    Args:
      config: nested mappings; `pod.batch_per_chip` sets the batch.
      devices: abstract or real.
      strategy: strategy in place of `parallel.strategy`.
      cores: devices that each chip has, which share its batch.

    Returns:
      A Training.

    Raises:
      What `ae_jax.runs.planning.plan_without_data` raises and the strategy's `from_config`.
    """
    config = config_lib.complete(config)
    share = config.pod.batch_per_chip or config.training.batch_size
    parallel.check_batch(share, cores, "pod.batch_per_chip")
    share //= cores
    plan = plan_without_data(_one_chip(config, share))
    over = parallel.from_config(_parallel(plan.config.parallel, strategy), devices)
    state, size, kind = state_of(plan), len(plan.dataset.train), plan.engine
    batch_size, steps = share * len(devices), plan.config.training
    accumulation, decay = steps.accumulation, steps.average_decay
    make = engine.resident_training if kind == "resident" else engine.streamed_training
    parts = (plan.model, plan.players, plan.preprocessing, over)
    program = make(*parts, batch_size, size, accumulation, decay)
    block = 0
    if kind == "resident":
        records = _stacked(plan.dataset.train.spec, (size,))
        fed = over.shapes((records, jax.ShapeDtypeStruct((), jnp.uint32)))
    else:
        block = streaming.block_steps(plan.dataset.train, batch_size, steps.steps_per_dispatch)
        places = (len(devices), block * accumulation, share // accumulation)
        records = _stacked(plan.dataset.train.spec, places)
        index = jax.ShapeDtypeStruct(places, jnp.uint32)
        fed = over.shapes(streaming.Block(records, index, records.valid), "rows")
    totals = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in metric_names(plan.players)}
    position = jax.ShapeDtypeStruct((4,), jnp.uint32)
    arguments = (over.shapes(state, "state"), over.shapes(totals), fed, over.shapes(position))
    return Training(plan, over, share, kind, block, state, arguments, program)


def _parallel(section: Parallel, strategy: str | None) -> Parallel:
    """The section for another strategy: the mesh is that of the config's own."""
    if strategy in (None, section.strategy):
        return dataclasses.replace(section, devices=None)
    return Parallel(strategy=strategy)


def _one_chip(config: Config, share: int) -> Config:
    """The config of one chip's batch, which a small data set can fill."""
    sizes = {"training.batch_size": share, "evaluation.batch_size": None}
    return config_lib.replaced(config, sizes)


def state_of(plan: Plan) -> TrainState:
    """The shapes of a plan's state."""
    return jax.eval_shape(plan.init, jax.random.key(0))


def _stacked(spec: Records, leading: tuple[int, ...]) -> Records:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*leading, *leaf.shape), leaf.dtype), spec
    )


def model_flops(config: ConfigLike, share: int) -> Flops:
    """Model FLOPs of a step on a batch of `share` examples: nothing that is computed twice.

    Counted with the config's rematerialisation off, in the form that accelerators compile.
    """
    bare = config_lib.with_model(_one_chip(config_lib.complete(config), share), without_remat)
    plan = plan_without_data(bare)
    step = make_step(plan.model, plan.players, len(plan.dataset.train))
    with without_kernels():
        return flops.count(step, state_of(plan), batch_of(plan, (share,)))


def without_remat(node: Any) -> Any:
    """A config's section with every rematerialisation in it off."""
    if isinstance(node, Mapping):
        return {k: False if k == "remat" else without_remat(v) for k, v in node.items()}
    return node


def batch_of(plan: Plan, leading: tuple[int, ...]) -> Batch:
    """The shapes of preprocessed batches, `[*leading, *event]`."""
    many = _stacked(plan.dataset.train.spec, leading)
    shape = plan.preprocessing.event_shape(tuple(plan.dataset.train.spec.x.shape))
    x = jax.ShapeDtypeStruct((*leading, *shape), jnp.float32)
    observed = None if many.observed is None else jax.ShapeDtypeStruct(x.shape, jnp.bool_)
    fields: Any = (x, observed, many.valid, jax.ShapeDtypeStruct(leading, jnp.uint32), many.extras)
    return Batch(*fields)


def declared_collectives(training: Training) -> dict[str, int]:
    """Bytes a device reduces or gathers in a step, by kind, as the step asks for them.

    They are gradients, metrics and what terms and bottlenecks reduce over the global batch; XLA may
    move fewer. For the strategies whose step names its collectives (`pmap`, `shard_map`); empty for
    a step in global view.
    """
    number = len(training.strategy.devices)
    across = training.strategy.across
    if across.size == 1:
        return {}
    plan, accumulation = training.plan, training.plan.config.training.accumulation
    step = make_step(plan.model, plan.players, len(plan.dataset.train), accumulation)
    micro = training.share // accumulation
    batch = batch_of(plan, (micro,) if accumulation == 1 else (accumulation, micro))
    run = lambda state, batch: step(state, batch, None, across)
    jaxpr = jax.make_jaxpr(run, axis_env=[(DEVICE_AXIS, number)])(training.state, batch)
    by_kind: dict[str, int] = {}
    for equation, times in flops.equations(jaxpr.jaxpr):
        kind = COLLECTIVES.get(equation.primitive.name)
        if kind is None:
            continue
        side = equation.outvars if kind == "all-gather" else equation.invars
        nbytes = sum(var.aval.size * var.aval.dtype.itemsize for var in side)
        by_kind[kind] = by_kind.get(kind, 0) + times * nbytes
    return by_kind


def nbytes(tree: Tree) -> int:
    """Bytes of all leaves, global shapes."""
    return sum(_bytes(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree))


def shard_nbytes(tree: Tree) -> int:
    """Bytes of one device's part of all leaves, shapes with shardings."""
    part = lambda leaf: _bytes(leaf.sharding.shard_shape(leaf.shape), leaf.dtype)
    return sum(map(part, jax.tree.leaves(tree)))


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return 8 * int(np.prod(shape, dtype=np.int64))
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
