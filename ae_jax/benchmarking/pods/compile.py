"""What a config's training step needs and can reach on a TPU pod, from the compiler alone."""

import contextlib
import importlib.metadata
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from ae_jax import config as config_lib
from ae_jax.benchmarking.hardware.chips import GIB, Slice, slice_of
from ae_jax.benchmarking.pods import programs, roofline
from ae_jax.benchmarking.pods.programs import Training
from ae_jax.benchmarking.program import compiled, exchanges
from ae_jax.benchmarking.program.compiled import Work
from ae_jax.benchmarking.step import accounting
from ae_jax.config.sections import ConfigLike
from ae_jax.ops.kernels import without_kernels

VERSION = 1
GATHERS, REDUCTIONS = 2, 2
"""How often a chip may send as many bytes as there are parameters where state is split: to gather
them for the networks and, in full precision, for terms that look at them; to reduce gradients."""
_OUT_OF_MEMORY = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm", re.I)
_TOO_MANY_TEMPORARIES = re.compile(
    r"temporaries \(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)", re.I
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def compile_for_pod(
    config: ConfigLike, topology: str, strategy: str | None = None
) -> dict[str, Any]:
    """Compiles a config's training step for a TPU slice and reads what came out.

    Args:
      config: nested mappings; see `ae_jax.config`.
      topology: e.g. "v5e:16x16".
      strategy: strategy in place of the config's `parallel.strategy`.

    Returns:
      Plain values, those of one step on one chip where nothing else is said:

      - "version", "topology", "chips", "strategy", "mesh", "batch_per_chip", "batch_size" of all
        chips, "program", which one it is, "jax", "libtpu", "compile_seconds";
      - "fits", and "verdict": what is missing and what to turn on, or what is left;
      - "memory": bytes of "arguments", "outputs", of these "aliased" (donated), "temporaries",
        "code", their "total", and the chip's "hbm"; where it does not fit only total and hbm;
      - "state": "bytes" of parameters, optimizer and all else in it, "bytes_per_chip", "shards" it
        may be split into, "ratio" of the two to an even split;
      - "flops": "model", counted from the step (`ae_jax.benchmarking.program.flops`); "executed",
        read from the compiled program, with what is computed again;
      - "hbm_bytes": see `ae_jax.benchmarking.program.compiled.traffic`;
      - "collectives": for each "kind", "payload_bytes", "sent_bytes", "group" (its size), "times",
        "seconds" at least, "expected" of the strategy, "origin";
      - "collective_bytes": "sent" in all; "declared" payloads by kind, with the "gradients" in
        them; "unexpected", bytes sent beyond what the strategy needs;
      - "roofline": bounds, not measurements: "compute_seconds", "memory_seconds",
        "collective_seconds", "step_seconds", "step_seconds_overlapped", "held_by",
        "examples_per_second" of all chips at most, "peak_fraction" at most, of model FLOPs;
      - "weak_scaling": the same bounds from one chip up: "topology", "chips", "step_seconds",
        "examples_per_second", "efficiency".

    Raises:
      MissingFileError: libtpu is not installed.
      ConfigError: a topology that there is not, or a config that does not fit it.
    """
    where = slice_of(topology)
    devices = programs.devices_of(where)
    where = where.shared(len(devices) // where.size)
    training = programs.training(config, devices, strategy, where.cores)
    with without_kernels():  # of a GPU that may be here
        lowered, began = training.lower(), time.perf_counter()
    report = _head(training, where)
    try:
        with _uncached():
            compiled_step = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        memory = _needed(str(error), training)
        if memory is None:
            raise
        report |= {"compile_seconds": time.perf_counter() - began, "fits": False, "memory": memory}
        return report | {"verdict": _verdict(training, report)}
    report["compile_seconds"] = time.perf_counter() - began
    report |= _contents(where, compiled_step)
    flops = programs.model_flops(config, training.share).total
    report |= _bounds(training, where, compiled.work(compiled_step.as_text()), flops)
    return report | {"verdict": _verdict(training, report)}


@contextlib.contextmanager
def _uncached() -> Iterator[None]:
    """Within it nothing compiled is kept: programs for absent devices cannot be read back."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    jax.config.update(name, float("inf"))
    try:
        yield
    finally:
        jax.config.update(name, before)


def _head(training: Training, where: Slice) -> dict[str, Any]:
    data = (
        "the data on each chip"
        if training.engine == "resident"
        else f"data streamed in blocks of {training.block_steps}"
    )
    sizes = {name: programs.nbytes(tree) for name, tree in training.state._asdict().items()}
    per_chip = programs.shard_nbytes(training.arguments[0])
    shards = training.strategy.shards
    return {
        "version": VERSION,
        "topology": where.name,
        "chips": where.size,
        "strategy": training.strategy.name,
        "mesh": dict(training.strategy.mesh.shape),
        "batch_per_chip": training.share * where.cores,
        "batch_size": training.batch_size,
        "program": f"the device loop over training steps, one trip of it; {data}",
        "jax": jax.__version__,
        "libtpu": importlib.metadata.version("libtpu"),
        "state": {
            "bytes": sum(sizes.values()),
            "bytes_per_chip": per_chip,
            "shards": shards,
            "ratio": per_chip / (sum(sizes.values()) / shards),
        },
    }


def _needed(message: str, training: Training) -> dict[str, int] | None:
    """What the compiler says it would need and has; None where that is not what it says."""
    taken = 0
    used = _OUT_OF_MEMORY.search(message)
    if used is None:
        used = _TOO_MANY_TEMPORARIES.search(message)
        taken = sum(map(programs.shard_nbytes, training.arguments))
    if used is None:
        return None
    size, unit, limit, of_limit = used.groups()
    in_bytes = lambda number, unit: int(float(number) * _UNITS[unit.upper()])
    return {"total": in_bytes(size, unit) + taken, "hbm": in_bytes(limit, of_limit)}


def _contents(where: Slice, compiled_step: Any) -> dict[str, Any]:
    memory = accounting.program_memory(compiled_step) or {}  # the compiler for TPUs always tells
    hbm = where.chip.hbm_bytes
    return {"fits": memory["total"] <= hbm, "memory": memory | {"hbm": hbm}}


def _bounds(training: Training, where: Slice, work: Work, flops: int) -> dict[str, Any]:
    places = [tuple(device.coords) for device in training.strategy.devices]
    bound = roofline.bound(work, where, places)
    rows = roofline.weak_scaling(work, where, places)
    expected = training.strategy.exchanges
    sent = sum(c.times * c.sent for c in work.collectives)
    rate = lambda size, seconds: size * training.share * where.cores / max(seconds, 1e-12)
    return {
        "flops": {"model": flops, "executed": work.flops},
        "hbm_bytes": work.hbm_bytes,
        "collectives": [
            {
                "kind": c.kind,
                "payload_bytes": c.payload,
                "sent_bytes": c.sent,
                "group": len(c.group),
                "times": c.times,
                "seconds": roofline.seconds(c, where, places),
                "expected": c.kind in expected,
                "origin": c.origin,
            }
            for c in work.collectives
        ],
        "collective_bytes": {"sent": sent, **_judged(training, work, sent)},
        "roofline": {
            **bound._asdict(),
            "step_seconds": bound.step_seconds,
            "step_seconds_overlapped": bound.step_seconds_overlapped,
            "held_by": bound.held_by,
            "examples_per_second": rate(where.size, bound.step_seconds),
            "peak_fraction": flops / where.chip.peak_flops / bound.step_seconds,
        },
        "weak_scaling": [
            {
                "topology": part.name,
                "chips": part.size,
                "step_seconds": estimate.step_seconds,
                "examples_per_second": rate(part.size, estimate.step_seconds),
                "efficiency": efficiency,
            }
            for part, estimate, efficiency in rows
        ],
    }


def _judged(training: Training, work: Work, sent: float) -> dict[str, Any]:
    """What the step asks to be moved, and what is moved beyond that."""
    params = programs.nbytes(training.state.variables.params)
    expected = training.strategy.exchanges
    foreign = sum(c.times * c.sent for c in work.collectives if c.kind not in expected)
    declared = programs.declared_collectives(training)
    if training.strategy.splits_state:
        turns = training.plan.config.training.accumulation
        reduced = programs.nbytes(training.state.variables.state) + 2**20  # counters, metrics, sums
        allowed = (GATHERS * turns + REDUCTIONS) * params + REDUCTIONS * reduced
    else:
        number = tuple(range(len(training.strategy.devices)))
        each = (exchanges.Collective(kind, size, number, 1) for kind, size in declared.items())
        allowed = sum(c.sent for c in each) + 1e-6 * sent
    return {
        "declared": {"gradients": params, **declared},
        "unexpected": max(foreign, sent - allowed, 0.0),
    }


def _verdict(training: Training, report: Mapping[str, Any]) -> str:
    total, hbm = report["memory"]["total"], report["memory"]["hbm"]
    if report["fits"]:
        return f"fits: {total / GIB:.2f} of {hbm / GIB:.2f} GiB"
    missing = (
        f"does not fit: {total / GIB:.2f} GiB of {hbm / GIB:.2f}, {(total - hbm) / GIB:.2f} short"
    )
    return f"{missing}. {'; '.join(_remedies(training, report))}"


def _remedies(training: Training, report: Mapping[str, Any]) -> list[str]:
    """What would save memory, the cheapest in time first."""
    config, state = training.plan.config, report["state"]
    total, hbm = report["memory"]["total"], report["memory"]["hbm"]
    remedies = []
    model = config_lib.to_plain(config.model)
    off = [
        part
        for part, node in model.items()
        if isinstance(node, dict) and node.get("remat") is False
    ]
    if off:
        fields = " ".join(f"--config.model.{part}.remat=True" for part in off)
        remedies.append(f"compute activations again in the backward pass ({fields})")
    if not training.strategy.splits_state:
        saved = state["bytes"] - state["bytes"] // min(16, report["chips"])
        remedies.append(
            f"split the state with --strategy=fsdp, which saves up to {saved / GIB:.2f} GiB"
        )
    if config.training.accumulation == 1:
        remedies.append(
            "accumulate gradients over smaller batches (--config.training.accumulation=2)"
        )
    room, activations = hbm - state["bytes_per_chip"], total - state["bytes_per_chip"]
    fitting = int(training.share * room / activations) if room > 0 else 0
    if 0 < fitting < training.share:
        remedies.append(f"a smaller batch (--config.pod.batch_per_chip={fitting} by proportion)")
    return remedies or ["take a chip with more memory"]
