"""Where a run's numbers go: progress bar, metrics segment, TensorBoard, callbacks."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ae_jax._workdir import MetricsSegment
from ae_jax.errors import WorkdirError
from ae_jax.training import terminal
from ae_jax.training.board import Board


class LogPoint(NamedTuple):
    """What callbacks receive.

    Attributes:
      step: optimizer steps taken.
      split: "train" (means since the last log point), "validation" or "test" (means
        over the split); "selection" (what became of a member of a population in a round).
      metrics: plain floats by name.
      member: of a population; None: a single run.
    """

    step: int
    split: str
    metrics: dict[str, float]
    member: int | None = None


Callback = Callable[[LogPoint], None]


class Reporter:
    """Everything that shows or stores a number while training; use it as a context manager.

    Attributes:
      failure: the first exception of a callback, after which none is called; None: none yet.
      gone: whether the terminal, or whoever reads what is shown, is.
    """

    def __init__(
        self,
        workdir: Any | None,
        first_step: int,
        steps: int,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
    ):
        """Opens the files and the bar.

        Args:
          workdir: None writes no file.
          first_step: step at which this start begins.
          steps: step at which the run ends.
          callbacks: called with every LogPoint.
          progress: whether to show the run on the terminal.
        """
        self.callbacks, self.points = tuple(callbacks), []
        self.segment = self.board = None
        if workdir is not None:
            self.segment = MetricsSegment(workdir, first_step)
            self.board = Board(workdir, first_step)
        self.shown = progress
        interactive = progress and sys.stderr.isatty()
        self.bar = tqdm(
            total=steps,
            initial=first_step,
            unit="step",
            disable=not interactive,
            dynamic_ncols=True,
        )
        self.lines = progress and not interactive
        self.last = (time.perf_counter(), first_step)
        self.failure: BaseException | None = None
        self.gone = False

    def __enter__(self) -> "Reporter":
        """The open reporter."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Closes files and bar."""
        self._show(self.bar.close)
        failing = contextlib.suppress(WorkdirError) if error[0] else contextlib.nullcontext()
        for file in (self.segment, self.board):
            if file is not None:
                with failing:
                    file.close()

    def advance(self, step: int) -> None:
        """Moves the bar."""
        self._show(self.bar.update, step - self.bar.n)

    def attempt(self, function: Callable[..., Any], *args: Any) -> None:
        """Calls what may fail without ending the run unsaved: `failure` is the first exception."""
        if self.failure is None:
            try:
                function(*args)
            except BaseException as error:
                self.failure = error

    def _show(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Calls what writes to the terminal; one that is gone is noted, too."""
        if self.gone:
            return
        try:
            function(*args, **options)
        except OSError:
            self.gone, self.bar.disable = True, True
            terminal.silence(sys.stderr)

    def log(self, step: int, split: str, metrics: dict[str, float]) -> None:
        """Stores and shows one log point.

        Args:
          step: optimizer steps taken.
          split: "train", "validation" or "test".
          metrics: plain floats by name.
        """
        point = LogPoint(step, split, metrics)
        self.points.append(point)
        if self.segment is not None:
            self.segment.write(step, split, metrics)
        if self.board is not None:
            for name, value in metrics.items():
                self.board.scalar(f"{split}/{name}", value, step)
        for callback in self.callbacks:
            self.attempt(callback, point)
        text = " ".join(
            f"{name}={value:.4g}" for name, value in metrics.items() if name not in HIDDEN
        )
        self._tell(step, split, text)

    def log_members(self, step: int, split: str, members: Mapping[int, dict[str, float]]) -> None:
        """Stores one log point of each member of a population, and shows their medians.

        Args:
          step: optimizer steps taken.
          split: "train", "validation" or "test".
          members: plain floats by name, of each by its number.
        """
        self._store_members(step, split, members)
        metrics = list(members.values())
        shown = [name for name in metrics[0] if name not in HIDDEN]
        row = lambda name: np.array([values.get(name, math.nan) for values in metrics])
        finite = {name: row(name)[np.isfinite(row(name))] for name in shown}
        middle = (f"{n}={np.median(row):.4g}" for n, row in finite.items() if len(row))
        lost = len(metrics) - len(finite.get("loss", metrics))
        self._tell(step, split, " ".join(middle) + (f" ({lost} not finite)" if lost else ""))

    def log_selection(
        self, step: int, split: str, members: Mapping[int, dict[str, float]], text: str
    ) -> None:
        """Stores what became of members of a population in a round, and shows a line on it.

        Args:
          step: optimizer steps taken.
          split: what these log points are called.
          members: plain numbers by name, of each of these members by its number.
          text: the line.
        """
        self._store_members(step, split, members)
        self._tell(step, split, text)

    def _store_members(
        self, step: int, split: str, members: Mapping[int, dict[str, float]]
    ) -> None:
        for member, metrics in members.items():
            self.points.append(LogPoint(step, split, metrics, member))
            if self.segment is not None:
                self.segment.write(step, split, {"member": member, **metrics})
            for callback in self.callbacks:
                self.attempt(callback, self.points[-1])

    def _tell(self, step: int, split: str, text: str) -> None:
        """Shows a line of numbers."""
        if self.lines:
            line = f"step {step:>7} {split:<5} {text}"
            self._show(print, line, file=sys.stderr, flush=True)
        elif split == "train":
            self._show(self.bar.set_postfix_str, text)
        elif self.shown:
            self._show(self.bar.write, f"step {step:>7} {split:<5} {text}", file=sys.stderr)

    def image(self, step: int, name: str, picture: np.ndarray) -> None:
        """Stores a picture `[h, w, 3]` in [0, 1] for TensorBoard."""
        if self.board is not None:
            self.board.image(name, picture, step)

    def flush(self) -> None:
        """Makes everything written so far durable."""
        if self.segment is not None:
            self.segment.flush()
        if self.board is not None:
            self.board.flush()


HIDDEN = frozenset({"skipped", "grad_norm", "learning_rate"})
"""Not shown on the terminal: kept in files, passed on to callbacks."""


def means(
    totals: dict[str, np.ndarray], steps: int, examples_per_second: float | None
) -> dict[str, float]:
    """Averages of a log window, from sums over its steps.

    Args:
      totals: sums over the steps not skipped; "skipped" counts those that were.
      steps: steps in the window.
      examples_per_second: rate of the window; None if not measured.

    Returns:
      Plain floats; NaN where every step was skipped.
    """
    skipped = float(totals["skipped"])
    counted = steps - skipped
    average = lambda total: float(total) / counted if counted else math.nan
    metrics = {name: average(total) for name, total in totals.items() if name != "skipped"}
    speed = {} if examples_per_second is None else {"examples_per_second": examples_per_second}
    return metrics | {"skipped": skipped} | speed
