"""The loop around a population's programs: the single run's, of many members in step."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax.errors import NonFiniteError
from ae_jax.population import selecting
from ae_jax.population.groups import Group
from ae_jax.population.programs import configs_with
from ae_jax.population.rounds import SPLIT, Rounds
from ae_jax.population.stack import Joined, Stack, position
from ae_jax.training import optimizer as optimizers
from ae_jax.training.loop import LONGEST_DISPATCH, Progress, next_length
from ae_jax.training.parallel import processes
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.members import Members
from ae_jax.training.plan import Plan
from ae_jax.training.reporting import Reporter, means

RISE = 10.0
"""A member has diverged, too, if its loss has risen by more than so many times its first size."""

Metrics = dict[str, list[dict[str, float]]]
"""By split, those of each member."""


class PopulationLoop:
    """One start of a population, from its states to the configured number of steps.

    It offers what `ae_jax.training.loop.train` asks of a loop.
    """

    def __init__(
        self,
        base: Plan,
        groups: Sequence[Group],
        stacks: Sequence[tuple[int, Stack]],
        data: Mapping[str, Any],
        members: Members,
        reporter: Reporter,
        step: int,
        counted: Any = None,
        rounds: Rounds | None = None,
        stopped: Sequence[tuple[int, Joined]] = (),
    ):
        """Begins.

        Args:
          base: the plan that members change.
          groups: of the members.
          stacks: of each group, with the group's number.
          data: records of each split, on the devices.
          members: where they lie.
          reporter: of this start.
          step: where it begins.
          counted: traces before its programs were made; None: those until now.
          rounds: in which members are selected; None: all train to the end.
          stopped: members that were stopped before, with the numbers of their groups.
        """
        self.base, self.training, self.groups = base, base.config.training, groups
        self.stacks, self.data, self.members, self.reporter = list(stacks), data, members, reporter
        self.step = self.first_step = self.window_start = step
        self.cadences = {
            "log": self.training.log_every,
            "eval": self.training.eval_every,
            "checkpoint": self.training.checkpoint_every,
        }
        self.num_train = len(base.dataset.train)
        self.rounds, self.stopped, self.events = rounds, list(stopped), []
        self.fresh, self.length, self.cold = True, 1, True
        self.timed_examples, self.timed_seconds = 0, 0.0
        self.first_dispatch: float | None = None
        self.count = sum(len(group.numbers) for group in groups)
        self.by_member: Metrics = {}
        self.diverged: dict[int, int] = {}
        self.counted = parallel.counts.copy() if counted is None else counted
        self.chosen_by = "validation" if "validation" in data else "test"
        self.metrics: dict[str, dict[str, float]] = {}
        self.first_losses: dict[int, float] = {}
        self.configs = {n: c for g in groups for n, c in zip(g.numbers, g.configs, strict=True)}
        if rounds is not None:
            for _, stack in self.stacks:
                self.note_values(stack.numbers, stack.trimmed(parallel.fetch(stack.values)))
        for _, held in self.stopped:
            for number, in_a_row in zip(held.numbers, held.state.skipped_in_a_row, strict=True):
                self.judge(number, int(in_a_row))

    @property
    def evaluators(self) -> list[str]:
        """The held-out splits."""
        return [name for name in self.data if name != "train"]

    @property
    def state(self) -> list[Any]:
        """The state of each stack."""
        return [stack.state for _, stack in self.stacks]

    @property
    def examples_seen(self) -> int:
        """Examples that a member of the base config has been trained on."""
        return self.step * self.training.batch_size

    @property
    def finished(self) -> bool:
        """Whether the configured number of steps is done."""
        return self.step >= self.training.steps

    def due(self, cadence: str) -> bool:
        """Whether the current step ends a period of `training.CADENCE_every`, or the run."""
        if cadence == "eval" and self.step in self.round_steps:
            return True
        return self.step % self.cadences[cadence] == 0 or self.finished

    @property
    def round_steps(self) -> tuple[int, ...]:
        """At which members are selected."""
        return () if self.rounds is None else self.rounds.steps

    @property
    def live(self) -> list[int]:
        """The numbers of the members that are being trained, ascending."""
        return sorted(number for _, stack in self.stacks for number in stack.numbers)

    def steps_of(self, number: int) -> int:
        """The steps that a member has trained."""
        ends = {
            n: int(held.state.step[i])
            for _, held in self.stopped
            for i, n in enumerate(held.numbers)
        }
        return ends.get(number, self.step)

    def next_stop(self) -> int:
        """The first step at which something besides training happens."""
        stops = [(self.step // every + 1) * every for every in self.cadences.values()]
        ahead = (step for step in self.round_steps if step > self.step)
        return min(*stops, *ahead, self.training.steps)

    def dispatch(self) -> None:
        """Runs as many steps as fit before the next stop, of every member."""
        steps = min(self.length, self.next_stop() - self.step)
        began, examples = time.perf_counter(), 0
        with jax.transfer_guard_host_to_device("disallow"):
            for group, stack in self.stacks:
                size = self.groups[group].plan.config.training.batch_size
                where = position(self.step, size, self.num_train, steps, self.fresh)
                stack.advance(self.data["train"], self.members.place(where))
                examples += steps * size * len(stack.numbers)
            jax.block_until_ready([stack.totals for _, stack in self.stacks])
        seconds = time.perf_counter() - began
        self.step += steps
        self.fresh = False
        if self.cold:  # it has compiled
            self.first_dispatch, self.cold = self.first_dispatch or time.time(), False
        else:
            self.timed_examples += examples
            self.timed_seconds += seconds
            seconds = processes.from_first(seconds)  # all must take the same number of steps
            # As long as a signal may wait: members in turn each come back to a cold cache.
            limit = self.training.steps_per_dispatch or LONGEST_DISPATCH
            self.length = next_length(self.length, steps, seconds, limit)
        self.reporter.advance(self.step)

    def log(self) -> None:
        """Fetches and reports each member's means since the last log point."""
        rows: dict[int, dict[str, float]] = {}
        for group, stack in self.stacks:
            counters = stack.state.skipped, stack.state.skipped_in_a_row
            found = stack.trimmed(parallel.fetch((stack.totals, counters)))
            totals, (skipped, in_a_row) = found
            for i, number in enumerate(stack.numbers):
                own = {name: total[i] for name, total in totals.items()}
                rows[number] = means(own, self.step - self.window_start, None)
                rows[number] |= self._learning_rate(group, number, self.step - int(skipped[i]))
                self.judge(number, int(in_a_row[i]))
        self.window_start, self.fresh = self.step, True
        self._report("train", rows)
        if self.diverged.keys() >= set(rows):
            raise NonFiniteError(
                f"loss or gradients of every member were not finite for the last steps before "
                f"{self.step}: try lower learning rates, or optimizer.clip_norm=1.0"
            )

    def judge(self, number: int, in_a_row: int) -> None:
        """Notes a member whose updates no longer move it, as a single run would stop then."""
        if in_a_row >= self.training.max_skipped_in_a_row:
            self.diverged.setdefault(number, self.step - in_a_row)
        else:
            self.diverged.pop(number, None)

    def _learning_rate(self, group: int, number: int, updates: int) -> dict[str, float]:
        if self.groups[group].plan.learning_rate is None:
            return {}
        config = self.configs[number]
        rate = optimizers.rate_of(
            config.optimizer, config.training.steps, config.training.batch_size
        )
        return {"learning_rate": optimizers.rate_at(rate, max(0, updates - 1))}

    def evaluate(self) -> None:
        """Evaluates every member on every held-out split, and selects where a round is due."""
        for name in self.evaluators:
            rows: dict[int, dict[str, float]] = {}
            for _, stack in self.stacks:
                rows |= dict(zip(stack.numbers, stack.evaluate(self.data[name]), strict=True))
            self._report(name, rows)
        if self.step in self.round_steps:
            selecting.hold(self)

    def note_values(self, numbers: Sequence[int], values: Mapping[str, np.ndarray]) -> None:
        """Keeps what a member's config is by now."""
        configs = configs_with([self.configs[n] for n in numbers], values)
        self.configs |= dict(zip(numbers, configs, strict=True))

    def begin(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Evaluates members before their first step, and takes over what was logged before.

        Args:
          points: of earlier starts.
        """
        if not self.step and self.evaluators:
            self.evaluate()
            rows = enumerate(self.by_member[self.chosen_by])
            points = [{"step": 0, "split": self.chosen_by, "member": n, **row} for n, row in rows]
        for point in points:
            values = {k: v for k, v in point.items() if k not in ("step", "split", "member")}
            if point["split"] == SPLIT:
                self.events.append({"step": point["step"], "member": point["member"], **values})
                continue
            rows = self.by_member.setdefault(point["split"], [{} for _ in range(self.count)])
            rows[point["member"]] = values
            if (point["step"], point["split"]) == (0, self.chosen_by) and "loss" in point:
                self.first_losses[point["member"]] = point["loss"]

    def _report(self, split: str, rows: dict[int, dict[str, float]]) -> None:
        known = self.by_member.setdefault(split, [{} for _ in range(self.count)])
        for number, metrics in rows.items():
            known[number] = metrics
        self.reporter.log_members(self.step, split, rows)
        self.metrics[split] = {}

    def progress(self) -> Progress:
        """What has been measured so far, with the states fetched."""
        rate = self.timed_examples / self.timed_seconds if self.timed_seconds else None
        return Progress(parallel.fetch(self.state), self.metrics, rate, self.first_dispatch)  # pyright: ignore

    def traces(self) -> dict[str, int]:
        """How often each compiled program was traced since this start."""
        new = parallel.counts - self.counted
        return {name.removeprefix("trace "): n for name, n in new.items() if "trace" in name}

    def lost(self, number: int) -> bool:
        """Whether a member has diverged.

        Its updates or its metrics are no longer finite, or its held-out loss is above what it began
        with by `RISE` times that. The losses of a game are those of its rivals as well, and tell
        nothing of the kind.
        """
        rows = [rows[number] for rows in self.by_member.values()]
        losses = [row[name] for row in rows for name in row if name.rpartition("/")[2] == "loss"]
        unmoved = number in self.diverged or not all(map(math.isfinite, losses))
        return unmoved or self.risen(number)

    def risen(self, number: int) -> bool:
        """Whether a member's held-out loss is far above what it began with."""
        if number not in self.first_losses or len(self.base.players) > 1:
            return False
        first, last = self.first_losses[number], self.by_member[self.chosen_by][number]["loss"]
        return last > first + RISE * abs(first)
