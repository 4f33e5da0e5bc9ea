"""The loop around the step: dispatches, logs, evaluations, checkpoints, preemption."""

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from ae_jax.errors import NonFiniteError, Preempted
from ae_jax.training import optimizer as optimizers
from ae_jax.training.evaluator import evaluation_program, evaluator
from ae_jax.training.feeds import ENGINES
from ae_jax.training.parallel import processes
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.strategy import Strategy
from ae_jax.training.plan import Plan
from ae_jax.training.preemption import Preemption
from ae_jax.training.profiling import Profiler
from ae_jax.training.reporting import Reporter, means
from ae_jax.training.state import TrainState
from ae_jax.training.step import metric_names

DISPATCH_SECONDS = 0.5
LONGEST_SECONDS = 5.0
LONGEST_DISPATCH = 10_000
FEW_STEPS = 4
"""What a dispatch aims at, the most that one may take for more steps (a signal waits for its end),
and the most steps in one. The first few steps may take longer than aimed at: on CPU one step alone
pays for fresh memory, a seventh of the time of a transformer."""


class Progress(NamedTuple):
    """What a run has measured of itself.

    Attributes:
      state: TrainState, fetched.
      metrics: the last log point of each split.
      examples_per_second: rate of training alone, the first dispatch left out; None if there was
        one.
      first_dispatch: `time.time()` at the end of the first dispatch; None if there was none.
    """

    state: TrainState
    metrics: dict[str, dict[str, float]]
    examples_per_second: float | None
    first_dispatch: float | None


def next_length(length: int, steps: int, seconds: float, limit: int | None) -> int:
    """How many steps the next dispatch may take, at most four times as many as this one.

    Args:
      length: what this one might have taken; a log point and the like may have cut it short.
      steps: what it took.
      seconds: time of the steps.
      limit: `training.steps_per_dispatch`; None aims at `DISPATCH_SECONDS`, or `FEW_STEPS`.
    """
    a_few = min(LONGEST_SECONDS, FEW_STEPS * seconds / steps)
    aim = max(DISPATCH_SECONDS, a_few) if limit is None else LONGEST_SECONDS
    if steps < length and seconds <= aim:  # it tells nothing of a longer one
        return length
    wanted = round(steps * min(4.0, aim / max(seconds, 1e-6)), 6)  # 4 is not to become 3
    return int(np.clip(int(wanted), 1, limit or LONGEST_DISPATCH))


class Loop:
    """One start of a run, from a state to the configured number of steps."""

    def __init__(
        self,
        plan: Plan,
        state: TrainState,
        examples_seen: int,
        reporter: Reporter,
        profiler: Profiler | None = None,
    ):
        """Places state and data on the devices.

        Args:
          plan: the run.
          state: state to start from.
          examples_seen: up to here.
          reporter: reporter of this start.
          profiler: profiler of chosen steps.
        """
        training = plan.config.training
        self.plan, self.training, self.reporter = plan, training, reporter
        self.profiler = Profiler() if profiler is None else profiler
        self.strategy: Strategy = plan.strategy  # pyright: ignore[reportAttributeAccessIssue]
        self.step = self.first_step = int(state.step)
        self.batch_size = training.batch_size
        self.cadences = {
            "log": training.log_every,
            "eval": training.eval_every,
            "checkpoint": training.checkpoint_every,
        }
        self.engine = plan.engine
        zeros = {name: np.zeros((), np.float32) for name in metric_names(plan.players)}
        self.totals = self.strategy.place(zeros)
        self.root = self.strategy.place(jax.random.wrap_key_data(parallel.fetch(state.root)))
        self.state = self.strategy.place_state(state)
        steps = training.steps - self.step
        self.feed = ENGINES[self.engine](plan, self.strategy, state.root, examples_seen, steps)
        self.window_start, self.window = self.step, (0, 0.0)  # its timed examples and seconds
        self.fresh, self.length = True, 1
        self.timed_examples, self.timed_seconds, self.timed_waiting = 0, 0.0, 0.0
        self.first_dispatch: float | None = None
        self.metrics: dict[str, dict[str, float]] = {}
        self.counted = parallel.counts.copy()
        parts, num_train = (plan.model, plan.objective, plan.preprocessing), len(plan.dataset.train)
        program = evaluation_program(parts, plan.config, num_train, self.strategy, self.engine)
        how, host = (plan.config, self.strategy), plan.preprocessing.host
        self.evaluators = {
            name: evaluator(program, *how, split, self.engine, host)
            for name, split in plan.dataset.splits.items()
            if name != "train"
        }

    @property
    def examples_seen(self) -> int:
        """The whole position in the data."""
        return self.feed.examples_seen

    @property
    def chosen_by(self) -> str:
        """The split that checkpoints are chosen by: validation, where there is one."""
        return "validation" if "validation" in self.evaluators else "test"

    def evaluate(self) -> None:
        """Evaluates every held-out split and reports it."""
        for name, run in self.evaluators.items():
            self.metrics[name] = run(self.state.evaluated, self.root, self.state.step)
            self.reporter.log(self.step, name, self.metrics[name])

    def next_stop(self) -> int:
        """The first step at which something besides training happens."""
        stops = [(self.step // every + 1) * every for every in self.cadences.values()]
        return min(*stops, *self.profiler.stops(self.step), self.training.steps)

    def dispatch(self) -> None:
        """Runs as many steps as fit before the next stop, in one device loop."""
        steps = min(self.length, self.next_stop() - self.step, self.feed.available())
        profiled = self.profiler.before(self.step)
        waited, began = self.feed.waited, time.perf_counter()
        with (
            jax.profiler.StepTraceAnnotation("train", step_num=self.step),
            jax.transfer_guard_host_to_device("disallow"),  # only `place` and `split` upload
        ):
            self.state, self.totals = self.feed.advance(self.state, self.totals, steps, self.fresh)
            jax.block_until_ready(self.totals)
        seconds = time.perf_counter() - began
        self.step += steps
        self.fresh = False
        self.profiler.after(self.step)
        if self.first_dispatch is None:
            self.first_dispatch = time.time()
        elif not profiled:
            examples = steps * self.batch_size
            self.timed_examples += examples
            self.timed_seconds += seconds
            self.timed_waiting += self.feed.waited - waited
            self.window = (self.window[0] + examples, self.window[1] + seconds)
            seconds = processes.from_first(seconds)  # all must take the same number of steps
            limit = self.training.steps_per_dispatch
            self.length = next_length(self.length, steps, seconds, limit)
        self.reporter.advance(self.step)

    def log(self) -> None:
        """Fetches and reports the means since the last log point.

        Raises:
          NonFiniteError: too many updates in a row were skipped.
        """
        counters = self.state.skipped, self.state.skipped_in_a_row
        totals, (skipped, in_a_row) = parallel.fetch((self.totals, counters))
        examples, seconds = self.window
        rate = examples / seconds if seconds else None
        self.metrics["train"] = means(totals, self.step - self.window_start, rate)
        self.metrics["train"] |= self._learning_rate(self.step - int(skipped))
        self.window_start, self.window, self.fresh = self.step, (0, 0.0), True
        self.reporter.log(self.step, "train", self.metrics["train"])
        if in_a_row >= self.training.max_skipped_in_a_row:
            raise NonFiniteError(
                f"loss or gradients were not finite for the last {in_a_row} steps before step "
                f"{self.step}; the parameters are those of the last good step. Try a lower "
                "optimizer.learning_rate, or optimizer.clip_norm=1.0"
            )

    def _learning_rate(self, updates: int) -> dict[str, float]:
        """That of the last of so many updates, where it is known."""
        rate = self.plan.learning_rate
        if rate is None:
            return {}
        return {"learning_rate": optimizers.rate_at(rate, max(0, updates - 1))}

    def due(self, cadence: str) -> bool:
        """Whether the current step ends a period of `training.CADENCE_every`, or the run."""
        return self.step % self.cadences[cadence] == 0 or self.finished

    @property
    def finished(self) -> bool:
        """Whether the configured number of steps is done."""
        return self.step >= self.training.steps

    @property
    def step_seconds(self) -> float:
        """Time spent in the steps of this start, waiting for input left out."""
        timed_steps = self.timed_examples / self.batch_size
        each = (self.timed_seconds - self.timed_waiting) / timed_steps if timed_steps else 0.0
        return each * (self.step - self.first_step)

    def close(self) -> None:
        """Ends what runs in the background."""
        self.profiler.close()
        self.feed.close()

    def traces(self) -> dict[str, int]:
        """How often each compiled program was traced since this start."""
        new = parallel.counts - self.counted
        return {name.removeprefix("trace "): n for name, n in new.items() if "trace" in name}

    def progress(self) -> Progress:
        """What has been measured so far, with the state fetched."""
        rate = self.timed_examples / self.timed_seconds if self.timed_seconds else None
        state = parallel.fetch(self.state)
        return Progress(state, self.metrics, rate, self.first_dispatch)


def train(
    loop: Loop,
    save: Callable[[TrainState, int, dict[str, float] | None], None],
    on_evaluation: Callable[[Loop], None] | None = None,
) -> Progress:
    """Trains to the end.

    Args:
      loop: a start of a run.
      save: called with the fetched state, examples seen and the metrics, at this very step, of the
        split to choose by (or None); it must not wait for the disk.
      on_evaluation: called after each evaluation.

    Returns:
      The Progress at the end.

    Raises:
      Preempted: a signal arrived, or nobody is left to read what is shown; `save` has been called.
      KeyboardInterrupt: Ctrl-C came; `save` has been called.
      Exception: that of a callback, once `save` has been called.
      NonFiniteError: too many updates in a row were skipped; nothing was saved.
    """
    saved = -1

    def checkpoint(metrics=None):
        nonlocal saved
        if saved != loop.step:
            saved = loop.step
            save(parallel.fetch(loop.state), loop.examples_seen, metrics)

    with Preemption() as preemption:
        while not loop.finished:
            loop.dispatch()
            if loop.due("log"):
                loop.log()
            judged = None
            if loop.evaluators and loop.due("eval"):
                loop.evaluate()
                judged = loop.metrics.get(loop.chosen_by)
                if on_evaluation is not None:
                    loop.reporter.attempt(on_evaluation, loop)
            failure = loop.reporter.failure
            stops = preemption.stops(failure is not None or loop.reporter.gone)
            if loop.due("checkpoint") or stops:
                checkpoint(judged)
            if stops and failure is not None:
                raise failure
            if stops and preemption.signal == signal.SIGINT:
                raise KeyboardInterrupt
            if stops and not loop.finished:
                raise Preempted(loop.step)
    return loop.progress()
