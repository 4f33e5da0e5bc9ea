"""What a run says of itself at the end: summary.json and the lines on the terminal."""

import importlib.metadata
import math
import platform
import subprocess
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax

from ae_jax.config import to_plain
from ae_jax.precision import described, matmul_precision
from ae_jax.runs.history import Starts

if TYPE_CHECKING:  # the loop brings what shows progress, which loading a run does without
    from ae_jax.training.loop import Loop

VERSION = 1
HIDDEN = ("skipped", "grad_norm", "learning_rate")
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def read(workdir: Any) -> dict[str, Any]:
    """The contents of a workdir's summary.json; empty if the run there never ended.

    Args:
      workdir: `etils.epath.Path`.

    Raises:
      WorkdirError: it is damaged, or of a newer ae_jax.
    """
    from ae_jax import _workdir as storage

    file = workdir / storage.SUMMARY
    if not file.exists():
        return {}
    stored = storage.read_json(file)
    storage.check_version(file, stored, VERSION)
    return stored


def of_loop(
    loop: "Loop", status: str, starts: Starts, started: float, logged: Mapping[str, Any]
) -> dict[str, Any]:
    """What summary.json holds at the end of one start of a run.

    Args:
      loop: where it ended.
      status: "finished", "preempted" or "failed".
      starts: this start and those before it.
      started: `time.time()` at its beginning.
      logged: the last metrics of each split.

    Returns:
      Plain values; "hints" are lines on what ails the run, none for a healthy one.
    """
    plan, first, metrics = loop.plan, loop.first_dispatch, finite_or_none(logged)
    rate = loop.timed_examples / loop.timed_seconds if loop.timed_seconds else None
    return {
        "version": VERSION,
        "status": status,
        "steps": loop.step,
        "wanted_steps": plan.config.training.steps,
        "metrics": metrics,
        "hints": ailments(metrics),
        "examples_seen": loop.examples_seen,
        "examples_per_second": rate,
        "engine": loop.engine,
        "input_wait_share": loop.timed_waiting / loop.timed_seconds if rate else None,
        "skipped_records": loop.feed.skipped_records,
        "wall_seconds": time.time() - started,
        "time_to_first_step_seconds": None if first is None else first - started,
        "restarts": starts.restarts,
        "lost_steps": starts.lost_steps,
        "goodput": starts.goodput(),
        "process_count": jax.process_count(),
        "device_count": len(loop.strategy.devices),
        "strategy": plan.config.parallel.strategy,
        "precision": described(plan.config),
        "preprocessing": to_plain(plan.config.data.preprocessing),
        "compiles": loop.traces(),
        **environment(),
    }


def environment() -> dict[str, Any]:
    """Devices, precision, versions and git revision: what a number needs beside it."""
    devices = jax.devices()
    return {
        "device_kind": devices[0].device_kind,
        "matmul_precision": matmul_precision(),
        "versions": versions(),
        "git_revision": git_revision(),
    }


def versions() -> dict[str, str | None]:
    """Of Python and of the packages that a run's numbers depend on."""
    return {
        "python": platform.python_version(),
        "ae_jax": _version("ae_jax"),
        **{name: _version(name) for name in PACKAGES},
    }


def git_revision() -> str | None:
    """The commit of the current folder, "-dirty" if changed; None outside git."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def text(summary: Mapping[str, Any], workdir: Any | None) -> str:
    """The closing lines on the terminal.

    Args:
      summary: the contents of summary.json.
      workdir: None for a run in memory.

    Returns:
      Several lines.
    """
    lines = [f"{summary['status']} at step {summary['steps']:,} of {summary['wanted_steps']:,}"]
    for split, metrics in _numbers(summary["metrics"]).items():
        shown = (f"{k} {v:.4g}" for k, v in metrics.items() if k not in HIDDEN)
        lines.append(f"  {split:<5} {', '.join(shown)}")
    rate = summary["examples_per_second"]
    speed = f"{rate:,.0f} examples/s" if rate else "speed not measured"
    first = summary["time_to_first_step_seconds"]
    start = f", first dispatch after {first:.1f} s" if first is not None else ""
    lines.append(
        f"  {speed} on {summary['device_count']} x {summary['device_kind']} "
        f"({summary['strategy']}), {summary['wall_seconds']:.1f} s{start}"
    )
    if summary["restarts"]:
        goodput = summary.get("goodput")
        share = "" if goodput is None else f", {goodput:.0%} of the time in steps that count"
        redone = f"{summary['restarts']} restart(s), {summary['lost_steps']} step(s) redone"
        lines.append(f"  {redone}{share}")
    lines += [f"  {line}" for line in (*summary.get("hints", ()), *_next(summary, workdir))]
    return "\n".join(lines)


def _next(summary: Mapping[str, Any], workdir: Any | None) -> list[str]:
    """What to look at and to do next."""
    if workdir is None:
        return []
    finished = f"figures in {workdir}/figures; more training: raise training.steps"
    goes_on = "the same command goes on from here"
    first = finished if summary["status"] == "finished" else goes_on
    return [first, f"next: ae-jax sample --workdir={workdir} --num=64"]


def ailments(metrics: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """What ails a run, and what to try.

    Args:
      metrics: the last of each split, as in summary.json.
    """
    lines = []
    numbers = _numbers(metrics)
    test, train = numbers.get("test", {}), numbers.get("train", {})
    losses = [value for name, value in train.items() if name.rpartition("/")[2] == "loss"]
    if any(map(math.isnan, losses)):
        lines.append("the loss is not finite: lower optimizer.learning_rate or set clip_norm")
    if 0 <= test.get("kl", math.inf) < 0.1:
        lines.append("the KL is near zero, the code is not used: give kl a smaller weight")
    gap = test.get("loss", 0.0) - train.get("loss", 0.0)
    if gap > 0.15 * abs(train.get("loss", math.inf)):
        lines.append("the test loss is well above training: a smaller network or fewer steps")
    return lines + of_game(train, test)


WON, COLLAPSED = 0.98, 0.1
"""Accuracy from which on a critic has won, and spread below which samples have collapsed."""


def of_game(train: Mapping[str, float], test: Mapping[str, float]) -> list[str]:
    """What to try where one side of a game has won, or makes one thing alone.

    Args:
      train: training metrics.
      test: test metrics.
    """
    lines = []
    for name, accuracy in train.items():
        if name.endswith("critic_accuracy") and accuracy > WON:
            player = name.partition("/")[0]
            lines.append(
                f"the {player} has won: it is right in {accuracy:.1%}, so that the other side "
                f"learns little. Try a penalty (r1), or a lower rate for players.{player}"
            )
    if test.get("spread", 1.0) < COLLAPSED:
        lines.append(
            f"the samples have collapsed: they vary {test['spread']:.1%} as much as the data. Try "
            "a penalty (r1), the relativistic loss, or a lower learning rate"
        )
    return lines


def _numbers(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """The metrics with NaN for what JSON had to store as null."""
    number = lambda value: math.nan if value is None else value
    return {split: {k: number(v) for k, v in values.items()} for split, values in metrics.items()}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def finite_or_none(metrics: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """The metrics of each split, with None for what JSON has no number for."""
    keep = lambda v: v if math.isfinite(v) else None
    return {split: {k: keep(v) for k, v in of_split.items()} for split, of_split in metrics.items()}
