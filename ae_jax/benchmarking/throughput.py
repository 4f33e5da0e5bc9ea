"""Times of the training step of a config, as `fit` runs it."""

import copy
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax import summary
from ae_jax.fitting import prepare
from ae_jax.training.loop import Loop
from ae_jax.training.reporting import Reporter
from ae_jax.training.state import init_state

VERSION = 1
FOREVER = 2**30
WARM_UP = 6
SHORTEST = 10


def measure(
    config: Mapping[str, Any], seconds: float = 5.0, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Trains for a while and tells what the time went into; evaluates and saves nothing.

    Args:
      config: nested mappings; see `ae_jax.config`.
      seconds: to measure for, after compilation and six dispatches, in which their length grows.
      overrides: fields by dotted path, e.g. `{"data.engine": "streaming"}`.

    Returns:
      Plain values: "step_seconds", quartiles of the time of a step over dispatches, nothing left
      out; "examples_per_second" at the median; "input_wait_share", the share of the time in which
      training stood still for want of data; "steps_per_dispatch"; "load_seconds" from the start to
      data and model in place; "first_dispatch_seconds", compilation included; "anonymous_mib", the
      process's own memory (Linux); "device_bytes", peak, where the device tells; "config", the
      overrides; and `ae_jax.summary.environment()`.

    Raises:
      What `ae_jax.fit_config` raises.
    """
    began = time.perf_counter()
    loop = _loop(config, overrides or {})
    loaded = time.perf_counter()
    loop.dispatch()
    compiled = time.perf_counter()
    for _ in range(WARM_UP):
        loop.dispatch()
    samples, waited, started = [], loop.feed.waited, time.perf_counter()
    while time.perf_counter() - started < seconds or len(samples) < SHORTEST:
        before, step = time.perf_counter(), loop.step
        loop.dispatch()
        samples.append((time.perf_counter() - before, loop.step - step))
    total = time.perf_counter() - started
    waited = loop.feed.waited - waited
    loop.close()
    per_step = np.array([spent / steps for spent, steps in samples])
    quartiles = [float(q) for q in np.quantile(per_step, [0.25, 0.5, 0.75])]
    return {
        "version": VERSION,
        "overrides": dict(overrides or {}),
        "batch_size": loop.batch_size,
        "engine": loop.engine,
        "strategy": loop.plan.config["parallel"]["strategy"],
        "device_count": len(loop.strategy.devices),
        "examples_per_second": loop.batch_size / quartiles[1],
        "step_seconds": dict(zip(("q25", "median", "q75"), quartiles, strict=True)),
        "samples": [[float(spent), int(steps)] for spent, steps in samples],
        "steps_per_dispatch": int(np.median([steps for _, steps in samples])),
        "input_wait_share": waited / total,
        "load_seconds": loaded - began,
        "first_dispatch_seconds": compiled - loaded,
        "anonymous_mib": anonymous_mib(),
        "device_bytes": _peak_device_bytes(),
        **summary.environment(),
    }


def _loop(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Loop:
    config = copy.deepcopy(dict(config))
    for path, value in overrides.items():
        *sections, field = path.split(".")
        inner: Any = config
        for section in sections:
            inner = inner[section]
        inner[field] = value
    for field in ("steps", "log_every", "eval_every", "checkpoint_every"):
        config["training"][field] = FOREVER
    plan, spec = prepare(config)
    averaged = plan.config["training"]["average_decay"] is not None
    init = jax.jit(
        lambda key, x, extras: init_state(plan.model, plan.players, x, key, extras, averaged)
    )
    example = np.zeros(spec.event_shape, np.float32)
    state = init(jax.random.key(plan.config["training"]["seed"]), example, plan.example_extras())
    return Loop(plan, state, 0, Reporter(None, 0, FOREVER, (), progress=False))


def anonymous_mib() -> float | None:
    """This process's memory that no file backs, in MiB; None where the system does not tell."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024


def _peak_device_bytes() -> int | None:
    stats = jax.local_devices()[0].memory_stats()
    return None if stats is None else stats.get("peak_bytes_in_use")


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as lines of text, one a row."""
    head = f"{'':<36} {'examples/s':>12} {'ms a step':>24} {'waiting':>8} {'first':>8}"
    lines = [head]
    for result in results:
        label = ", ".join(f"{k.split('.')[-1]}={v}" for k, v in result["overrides"].items())
        q25, median, q75 = (1e3 * result["step_seconds"][q] for q in ("q25", "median", "q75"))
        lines.append(
            f"{label or result['engine']:<36} {result['examples_per_second']:>12,.0f} "
            f"{f'{median:.3f} ({q25:.3f} to {q75:.3f})':>24} {result['input_wait_share']:>8.1%} "
            f"{result['first_dispatch_seconds']:>6.1f} s"
        )
    return "\n".join(lines)
