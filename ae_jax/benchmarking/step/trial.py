"""One variant of a config, loaded, compiled and trained for as long as it is being timed."""

import collections
import functools
import statistics
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import compiler
from ae_jax import config as config_lib
from ae_jax.benchmarking.hardware import peaks
from ae_jax.benchmarking.step import accounting, limits, machine, products
from ae_jax.config.sections import ConfigLike
from ae_jax.runs.planning import prepare
from ae_jax.training.loop import Loop
from ae_jax.training.plan import Plan
from ae_jax.training.reporting import Reporter

FOREVER = 2**30
WARM_UP = 6
SHORTEST = 10
EMPTY = 20
"""Dispatches before anything is timed, the least that are, and how many empty ones."""


class Trial:
    """A run of a variant that evaluates and saves nothing.

    Attributes:
      overrides: what makes the variant, by dotted path.
      samples: a list a round of `(seconds, steps)`, one a dispatch, nothing left out.
      empty: seconds of dispatches of no steps.
      products: seconds of the step's products alone.
      limit_error: why these could not be measured; None: they could.
    """

    def __init__(self, config: ConfigLike, overrides: Mapping[str, Any]):
        """Loads, compiles and takes the first step, then six dispatches of growing length.

        Raises:
          What `ae_jax.fit_config` raises.
        """
        self.overrides = dict(overrides)
        began = time.perf_counter()
        self.plan, self.loop = _loaded(config, overrides)
        loop = self.loop
        arguments = (loop.state, loop.totals, *loop.feed.arguments())
        loaded, hits = time.perf_counter(), _hits()
        lowered = loop.feed.program.lower(*arguments)
        traced = time.perf_counter()
        self.compiled = lowered.compile()  # the very program that the first dispatch then runs
        compiled = time.perf_counter()
        loop.dispatch()
        ended = time.perf_counter()
        self.start = {
            "load_seconds": loaded - began,
            "trace_seconds": traced - loaded,
            "compile_seconds": compiled - traced,
            "compiled_before": _hits() > hits,
            "first_dispatch_seconds": ended - compiled,
            "first_step_seconds": ended - began,
        }
        self.samples: list[list[tuple[float, int]]] = []
        self.empty: list[float] = []
        self.products: list[float] = []
        self.waited = self.timed = 0.0
        self.device_peak: int | None = None
        self.limit_error: str | None = None
        for _ in range(WARM_UP):
            loop.dispatch()
        self._empty_dispatch()

    @property
    def devices(self) -> list[Any]:
        """Those that the step runs on."""
        return self.loop.strategy.devices

    @property
    def share(self) -> int:
        """Examples of the batch on each device."""
        return self.loop.batch_size // len(self.devices)

    def run(self, seconds: float) -> None:
        """One round: trains for so long, ten dispatches at least, then times empty dispatches."""
        loop, samples = self.loop, []
        waited, started = loop.feed.waited, time.perf_counter()
        while time.perf_counter() - started < seconds or len(samples) < SHORTEST:
            before, step = time.perf_counter(), loop.step
            loop.dispatch()
            samples.append((time.perf_counter() - before, loop.step - step))
        self.timed += time.perf_counter() - started
        self.waited += loop.feed.waited - waited
        self.samples.append(samples)
        if self.device_peak is None:  # before the limits take memory of their own
            self.device_peak = machine.peak_device_bytes()
        self._empty_dispatch()  # reads what the next one needs
        self.empty += [self._empty_dispatch() for _ in range(EMPTY)]

    def _empty_dispatch(self) -> float:
        """Seconds of a dispatch whose device loop does not turn: state comes back as it went."""
        loop, began = self.loop, time.perf_counter()
        with jax.transfer_guard_host_to_device("disallow"):
            loop.state, loop.totals = loop.feed.advance(loop.state, loop.totals, 0, False)
            jax.block_until_ready(loop.totals)
        return time.perf_counter() - began

    def limit(self, seconds: float) -> None:
        """Times the step's products alone for so long."""
        if self._operations:
            self.products += products.turn_seconds(self._alone, seconds)

    @functools.cached_property
    def _operations(self) -> list[products.Operation]:
        accumulation = self.plan.config.training.accumulation
        traced = accounting.step_jaxpr(self.plan, self.share, accumulation)
        return products.operations(traced, self.devices[0].platform)

    @functools.cached_property
    def _alone(self) -> products.Alone:
        return products.alone(self._operations, self.devices)

    @property
    def dtype(self) -> str:
        """Of most of the step's products."""
        return products.main_dtype(self._operations)

    def result(self, peak: float | None = None, bandwidth: float | None = None) -> dict[str, Any]:
        """The report of `ae_jax.benchmarking.measure`.

        Args:
          peak: FLOP/s of a large product of this dtype on each device; None: not measured.
          bandwidth: bytes/s of each device; None: not measured.
        """
        loop, per_step = self.loop, np.array([t / n for row in self.samples for t, n in row])
        quartiles = [float(q) for q in np.quantile(per_step, [0.25, 0.5, 0.75])]
        step, devices = quartiles[1], len(self.devices)
        rate = loop.batch_size / step
        steps = int(np.median([n for row in self.samples for _, n in row]))
        empty, (unit, number) = statistics.median(self.empty), accounting.unit(self.plan.spec)
        return {
            "overrides": self.overrides,
            "batch_size": loop.batch_size,
            "engine": loop.engine,
            "strategy": loop.strategy.name,
            "device_count": devices,
            "compute_dtype": self.plan.config.training.compute_dtype,
            "examples_per_second": rate,
            "examples_per_second_per_device": rate / devices,
            "units": {"name": unit, "per_example": number, "per_second": rate * number},
            "step_seconds": dict(zip(("q25", "median", "q75"), quartiles, strict=True)),
            "samples": [[[float(t), int(n)] for t, n in row] for row in self.samples],
            "steps_per_dispatch": steps,
            "input_wait_share": self.waited / self.timed,
            "dispatch": {"seconds": empty, "share": min(1.0, empty / (steps * step))},
            **self.start,
            **self._counted(step, peak),
            "memory": self._memory(),
            "limits": self._limits(step, peak, bandwidth),
            "limit_error": self.limit_error,
        }

    def _counted(self, step: float, peak: float | None) -> dict[str, Any]:
        devices = len(self.devices)
        flops = accounting.model_flops(self.plan, self.share) * devices
        work = accounting.compiled_work(self.compiled, devices)
        collective_bytes = work.pop("collective_bytes")
        return {
            "flops": {
                "model": flops,
                "step": products.total_flops(self._operations) * devices,
                **work,
            },
            "flops_per_second": flops / step,
            "mfu": utilisation(flops / step / devices, self.devices[0], self.dtype, peak),
            "collective_bytes": collective_bytes,
        }

    def _memory(self) -> dict[str, Any]:
        anonymous = machine.anonymous_mib()
        return {
            "program": accounting.program_memory(self.compiled),
            "device_peak": self.device_peak,
            "process_anonymous": None if anonymous is None else int(anonymous * 2**20),
        }

    def _limits(self, step: float, peak: float | None, bandwidth: float | None) -> Any:
        if peak is None or bandwidth is None:
            return None
        loop, flops = self.loop, products.total_flops(self._operations)
        moved = accounting.least_bytes(self.plan, loop.state, self.share)
        cache = machine.cache_bytes() if self.devices[0].platform == "cpu" else None
        alone = statistics.median(self.products) if self.products else 0.0
        return {
            **limits.bound(alone, moved, bandwidth, cache, step),
            "products_flops": flops,
            "products_complete": products.complete(self._alone) if self.products else None,
            "products_flops_per_second": flops / alone if alone else 0.0,
            "products_samples": list(self.products),
            "products": [operation.to_dict() for operation in self._operations],
            "gemm_flops_per_second": peak,
            "gemm_dtype": self.dtype,
            "memory_bytes_per_second": bandwidth,
        }

    def close(self) -> None:
        """Ends what runs in the background."""
        self.loop.close()


def utilisation(
    rate: float, device: Any, dtype: str, measured: float | None
) -> dict[str, Any] | None:
    """Model FLOPs utilisation of one device.

    Args:
      rate: model FLOP/s.
      device: a `jax.Device`.
      dtype: dtype of its products.
      measured: FLOP/s of a large product of this dtype on it, for a device in no table.

    Returns:
      "value", `rate / peak`; "peak_flops"; "precision", what the products are computed in; "of",
      which peak that is. None where there is no peak.
    """
    asked: Any = jax.config.jax_default_matmul_precision  # pyright: ignore
    used = peaks.precision(dtype, device.platform, asked)
    ceiling = peaks.peak(device.device_kind, used)
    if ceiling is None and measured is not None:
        ceiling = peaks.Peak(measured, f"a large {dtype} product, measured on this machine")
    if ceiling is None:
        return None
    return {
        "value": rate / ceiling.flops,
        "peak_flops": ceiling.flops,
        "precision": used,
        "of": ceiling.source,
    }


def _loaded(config: ConfigLike, overrides: Mapping[str, Any]) -> tuple[Plan, Loop]:
    endless = ("steps", "log_every", "eval_every", "checkpoint_every")
    overrides = {**overrides, **{f"training.{name}": FOREVER for name in endless}}
    plan = prepare(config_lib.replaced(config, overrides))
    state = compiler.jit(plan.init)(jax.random.key(plan.config.training.seed))
    loop = Loop(plan, state, 0, Reporter(None, 0, FOREVER, (), progress=False))
    return plan, loop


_EVENTS: collections.Counter[str] = collections.Counter()


@functools.cache
def _listening() -> bool:
    jax.monitoring.register_event_listener(lambda event, **_: _EVENTS.update([event]))
    return True


def _hits() -> int:
    """How many programs this process has found compiled, since it was first asked."""
    _listening()
    return _EVENTS["/jax/compilation_cache/cache_hits"]
