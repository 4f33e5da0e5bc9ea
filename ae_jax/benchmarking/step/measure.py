"""Times of a config's training step, as `fit` runs it, and the limits they are held against."""

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from ae_jax import config as config_lib
from ae_jax.benchmarking.step import limits, machine
from ae_jax.benchmarking.step.trial import Trial

VERSION = 2
LIMIT_SHARE = 0.25
"""Of the time for training, how long each limit is measured."""


def measure(
    config: Mapping[str, Any],
    seconds: float = 5.0,
    overrides: Mapping[str, Any] | None = None,
    *,
    rounds: int = 1,
    with_limits: bool = True,
) -> dict[str, Any]:
    """Trains for a while and tells what the time went into; evaluates and saves nothing.

    Args:
      config: nested mappings; see `ae_jax.config`.
      seconds: time to train for, after compilation and six dispatches, in which their length grows.
      overrides: fields by dotted path, e.g. `{"data.engine": "streaming"}`.
      rounds: how often.
      with_limits: whether to measure the machine's limits too, a quarter of `seconds` for each.

    Returns:
      Plain values. All that is said of a step is of the median one where nothing else is said:

      - what ran: "overrides", "batch_size" of all devices, "engine", "strategy", "device_count",
        "compute_dtype";
      - speed: "step_seconds", quartiles over dispatches, nothing left out, of the time of a
        dispatch by its number of steps; "samples", a list a round of `[seconds, steps]`, one a
        dispatch; "steps_per_dispatch", the median; "examples_per_second", also
        "…_per_device"; "units", of what each example has so many ("name", "per_example",
        "per_second"; see `ae_jax.benchmarking.step.accounting.unit`);
      - what is not the step's own: "input_wait_share", of the time in which training stood still
        for want of data; "dispatch", a dispatch of no steps: its "seconds", and the "share" that
        this is of a dispatch of the usual length;
      - the start: "load_seconds" until data and model lie on the devices; "trace_seconds", to the
        program that is handed to the compiler; "compile_seconds", and "compiled_before", whether it
        only had to be read from the compilation cache; "first_dispatch_seconds", one step;
        "first_step_seconds", all of these together;
      - operations over all devices: "flops", of which "model" is counted from the network
        (`accounting.model_flops`), "step" from it as this platform computes it, with convolutions
        that are written as products and with what is computed again, and "xla" and "xla_products"
        are read from the compiled program (`accounting.compiled_work`);
        "flops_per_second" of the model; "mfu", see `ae_jax.benchmarking.step.trial.utilisation`;
      - "collective_bytes", that each device must send at least;
      - "memory" in bytes: "program", what the compiled program needs on each device
        (`accounting.program_memory`); "device_peak", of the first device since the process began
        until this variant's first round ended, and "process_anonymous" of the process itself at the
        end (Linux), both with what other variants hold; null where it is not told;
      - "limits", null without, and where the devices could not hold them beside the step
        ("limit_error" then says so): see `ae_jax.benchmarking.step.limits.bound` for
        "products_seconds", "memory_seconds", "seconds", "held_by" and "fraction";
        "products", a row for each kind of matrix product or convolution of a step on
        one device, "products_flops" of them all,
        "products_complete", whether the compiler left every one in the program that times them
        (null on GPUs, where that cannot be read), "products_flops_per_second", "products_samples";
        "gemm_flops_per_second" of one large product in "gemm_dtype"; "memory_bytes_per_second".

    Raises:
      What `ae_jax.fit_config` raises.
    """
    given = (config, [overrides or {}], seconds)
    return sweep(*given, rounds=rounds, with_limits=with_limits, safe=False)["results"][0]


def sweep(
    config: Mapping[str, Any],
    variants: Sequence[Mapping[str, Any]],
    seconds: float = 5.0,
    *,
    rounds: int = 1,
    with_limits: bool = True,
    safe: bool = True,
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measures variants of a config in turns.

    With several rounds all variants stay loaded until the last has ended, so that each is compiled
    once and a machine that grows slower does so for all.

    Args:
      config: nested mappings; see `ae_jax.config`.
      variants: overrides by dotted path, of `ae_jax.benchmarking.step.sweeps`.
      seconds: time, see `measure`, for each variant and round.
      rounds: how often.
      with_limits: whether limits are measured, see `measure`.
      safe: whether a variant that the devices cannot hold or the compiler cannot compile is
        reported rather than raised.
      log: called with a line whenever something begins.

    Returns:
      What `--json` writes, plain values: "version" of this schema; "environment" as
      `ae_jax.benchmarking.step.machine.describe` found it before the start; "config", complete;
      "seconds"; "rounds"; "results", one a variant, of `measure`, or its "overrides" and "error".

    Raises:
      What `ae_jax.fit_config` raises.
    """
    report = {
        "version": VERSION,
        "environment": machine.describe(),
        "config": config_lib.to_plain(config_lib.complete(config)),
        "seconds": float(seconds),
        "rounds": int(rounds),
    }
    run = _Sweep(config, seconds * LIMIT_SHARE if with_limits else None, safe)
    keep = rounds > 1
    try:
        for number in range(rounds):
            for index, overrides in enumerate(variants):
                log(f"round {number + 1} of {rounds}, variant {index + 1} of {len(variants)}")
                run.turn(index, overrides, seconds)
                if not keep:
                    run.finish(index)
        for index in range(len(variants)):
            run.finish(index)
    finally:
        run.close()
    return report | {"results": [run.results[index] for index in range(len(variants))]}


class _Sweep:
    """Trials by the number of their variant, and the limits that they share."""

    def __init__(self, config: Mapping[str, Any], limit_seconds: float | None, safe: bool):
        self.config, self.limit_seconds, self.safe = config, limit_seconds, safe
        self.trials: dict[int, Trial] = {}
        self.results: dict[int, dict[str, Any]] = {}
        self.peaks: dict[tuple[str, int], float] = {}
        self.bandwidths: dict[int, float] = {}

    def turn(self, index: int, overrides: Mapping[str, Any], seconds: float) -> None:
        """A round of one variant, unless it has failed before."""
        if index in self.results:
            return
        try:
            if index not in self.trials:
                self.trials[index] = Trial(self.config, overrides)
            trial = self.trials[index]
            trial.run(seconds)
            if self.limit_seconds is not None:
                self._limit(trial, self.limit_seconds)
        except jax.errors.JaxRuntimeError as error:
            if not self.safe:
                raise
            self._drop(index)
            self.results[index] = {"overrides": dict(overrides), "error": _first_line(error)}

    def _limit(self, trial: Trial, seconds: float) -> None:
        """Times the step's products, unless the devices cannot hold them beside the step."""
        if trial.limit_error is None:
            try:
                trial.limit(seconds)
            except jax.errors.JaxRuntimeError as error:
                trial.limit_error = _first_line(error)

    def finish(self, index: int) -> None:
        """Turns a trial into its result and lets go of what it holds."""
        if index in self.results:
            return
        trial = self.trials[index]
        wanted = self.limit_seconds is not None and trial.limit_error is None
        self.results[index] = trial.result(*(self._limits(trial) if wanted else (None, None)))
        self._drop(index)

    def _limits(self, trial: Trial) -> tuple[float, float]:
        devices, seconds = trial.devices, self.limit_seconds or 0.0
        key = (trial.dtype, len(devices))
        if key not in self.peaks:
            self.peaks[key] = limits.gemm_peak(trial.dtype, devices, seconds)
        if len(devices) not in self.bandwidths:
            self.bandwidths[len(devices)] = limits.bandwidth(devices, seconds)
        return self.peaks[key], self.bandwidths[len(devices)]

    def _drop(self, index: int) -> None:
        trial = self.trials.pop(index, None)
        if trial is not None:
            trial.close()
            del trial
            gc.collect()  # its arrays hang in cycles, and the next variant needs the memory

    def close(self) -> None:
        """Lets go of everything."""
        for index in list(self.trials):
            self._drop(index)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
