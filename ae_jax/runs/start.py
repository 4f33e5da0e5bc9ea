"""One start of a run in its workdir: resume, train, checkpoints, summary, figures."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax import compiler, keys, precision
from ae_jax import config as config_lib
from ae_jax.config.sections import VERSION, Config
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Source, nbytes
from ae_jax.errors import Preempted, WorkdirError
from ae_jax.runs import summary as summary_lib
from ae_jax.runs.fingerprint import fingerprint
from ae_jax.runs.history import Starts
from ae_jax.runs.run import Run
from ae_jax.training import terminal
from ae_jax.training.loop import Loop, Plan, train
from ae_jax.training.parallel import processes
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.profiling import FOLDER, Profiler
from ae_jax.training.reporting import Reporter
from ae_jax.training.state import TrainState, init_state
from ae_jax.types import Variables, spec_to_dict

UNFINISHED = ".unfinished"
"""Lies beside figures until all of them are drawn: the same command draws them again."""


class Session:
    """Everything around one call of `fit`."""

    def __init__(
        self,
        plan: Plan,
        run: Run,
        workdir: Any,
        callbacks: Sequence[Callable[..., None]],
        progress: bool,
        started: float,
        profile: tuple[int, int] | None = None,
    ):
        """Makes sure that several processes are about to do the same.

        Of several processes the first writes and shows; all of them read.
        """
        self.plan, self.run, self.started, self.profile = plan, run, started, profile
        self.first = processes.is_first()
        self.callbacks, self.progress = callbacks if self.first else (), progress and self.first
        self.given: Any = workdir
        self.workdir: Any = None
        self.before: Config | None = None
        self.starts: Any = None
        self.stored: dict[str, Any] = {
            "version": VERSION,
            "config": config_lib.to_plain(plan.config),
            "spec": {**spec_to_dict(run.spec), "data_shape": list(run.data_shape)},
            "num_train": run.num_train,
            "display_range": list(run.display_range),
        }
        if workdir is not None:
            with processes.agreed():
                self.stored["fingerprint"] = fingerprint(plan.dataset)
        if processes.several():
            self._agree(workdir, progress)

    def _agree(self, workdir: Any, progress: bool) -> None:
        """Makes sure that all processes are about to do the same."""
        strategy = parallel.from_config(self.plan.config.parallel)
        processes.check_devices(strategy.devices)
        if progress:
            terminal.say(processes.describe(strategy))
        own = {"profile": self.profile, "workdir given": workdir is not None}
        processes.check_same({**self.stored, **own, "versions": summary_lib.versions()})

    def _open(self, stack: contextlib.ExitStack) -> Any:
        """Takes the workdir for this run alone, and opens its checkpoints; None without one."""
        if self.given is None:
            return None
        from ae_jax import _workdir as storage
        from ae_jax.runs import lock, resuming
        from ae_jax.training.checkpoint import Checkpoints

        with processes.agreed():
            self.workdir = storage.open_workdir(self.given, probe=self.first)
            if self.first:
                stack.enter_context(lock.held(self.workdir, self._say))
            self.before = resuming.check_same_run(
                self.workdir, self.plan.config, self.stored["fingerprint"]
            )
        processes.check_shared(self.workdir)
        keep = self.plan.config.training.keep_checkpoints
        return stack.enter_context(Checkpoints(self.workdir, keep, read_only=not self.first))

    def run_to_end(self) -> Run:
        """Trains from wherever the workdir stands to the configured number of steps.

        Returns:
          The trained Run.

        Raises:
          WorkdirError: the workdir is another run's, in use, or cannot be written.
        """
        with contextlib.ExitStack() as stack:
            checkpoints = self._open(stack)
            with processes.agreed():
                state, examples_seen = self._start(checkpoints)
                finished = self._is_finished(int(state.step))
            if finished:
                return self._already_finished(state)
            return self._train(state, examples_seen, checkpoints)

    def _start(self, checkpoints: Any) -> tuple[TrainState, int]:
        plan = self.plan
        seed, shape = plan.config.training.seed, self.run.spec.event_shape
        averaged = plan.config.training.average_decay is not None
        init = compiler.jit(
            lambda key, x, extras: init_state(plan.model, plan.players, x, key, extras, averaged)
        )
        given = keys.root(seed), np.zeros(shape, np.float32), plan.example_extras()
        restored = None if checkpoints is None else self._restored(checkpoints)
        if checkpoints is None or restored is None:
            return self._warm(init(*given)), 0
        from ae_jax.training.checkpoint import from_tree

        if restored.passed_over:
            skipped = ", ".join(map(str, restored.passed_over))
            self._say(f"checkpoint {skipped} cannot be read; going on from {restored.step}")
            if self.first:
                checkpoints.forget(restored.passed_over)
        return from_tree(restored.tree, jax.eval_shape(init, *given)), restored.examples_seen

    def _restored(self, checkpoints: Any) -> Any:
        """The checkpoint to go on from: the newest that the first process can read, or None."""
        restored = None
        with processes.agreed():
            if self.first:
                restored = checkpoints.restore()
        step = int(processes.from_first(-1 if restored is None else restored.step))
        if not self.first and step >= 0:
            restored = checkpoints.restore(step)
        return restored

    def _warm(self, state: TrainState) -> TrainState:
        training = self.plan.config.training
        if training.init_from is None:
            return state
        from ae_jax.training.warm_start import warm_start

        parts = training.init_parts
        variables, taken = warm_start(state.variables, training.init_from, parts)
        self._say(f"starting from the {', '.join(taken)} of {training.init_from}")
        average = jax.tree.map(np.array, variables.params) if state.average else {}
        return state._replace(variables=variables, average=average)

    def _train(self, state: TrainState, examples_seen: int, checkpoints: Any) -> Run:
        first_step = int(state.step)
        written = self.workdir if self.first else None
        self._count_start(written, first_step)
        if first_step:
            self._say(f"resuming at step {first_step:,}")
            self._say_rate(first_step)
        steps = self.plan.config.training.steps
        status = "failed"
        folder = None if written is None else written / FOLDER
        profiler = Profiler(self.profile, folder)
        with Reporter(written, first_step, steps, self.callbacks, self.progress) as reporter:
            loop = Loop(self.plan, state, examples_seen, reporter, profiler)
            self._say(f"data: {loop.engine}, {_sizes(self.plan.dataset)}")
            try:
                progress = train(loop, self._saver(loop, checkpoints), self._pictures)
                status = "finished"
            except (Preempted, KeyboardInterrupt):
                status = "preempted"
                raise
            finally:
                loop.close()
                self._end(loop, status, checkpoints)
                if status != "failed":  # an exit must not end the first one's writing
                    processes.wait_for_all()
        self.run.variables = progress.state.evaluated
        if self.first:
            self._figures()
        processes.wait_for_all()
        self._say(summary_lib.text(self.run.summary, self.workdir))
        return self.run

    def _say_rate(self, step: int) -> None:
        from ae_jax.runs import resuming

        plan = self.plan
        before = plan.config if self.before is None else self.before
        if line := resuming.rate_change(before, plan.config, plan.learning_rate, step):
            self._say(line)

    def _saver(self, loop: Loop, checkpoints: Any) -> Callable[..., None]:
        def save(state: TrainState, examples_seen: int, metrics: dict[str, float] | None) -> None:
            if checkpoints is not None and self.first:
                checkpoints.save(state, examples_seen, metrics)
            self._note(loop)
            loop.reporter.flush()

        return save

    def _count_start(self, workdir: Any, first_step: int) -> None:
        self.starts = Starts(workdir, first_step)
        if workdir is not None:
            from ae_jax import _workdir as storage

            storage.write_json(workdir / storage.CONFIG, self.stored)

    def _note(self, loop: Loop) -> None:
        self.starts.note(loop.step, loop.step_seconds, time.time() - self.started)

    def _end(self, loop: Loop, status: str, checkpoints: Any) -> None:
        """Waits for the disk, then writes the summary; a run not written has failed."""
        try:
            if checkpoints is not None:
                checkpoints.wait()
        except WorkdirError:
            status = "failed"
            raise
        finally:
            with contextlib.suppress(*[WorkdirError] * (status == "failed")):
                self._close(loop, status)

    def _close(self, loop: Loop, status: str) -> None:
        now = time.time()
        self._note(loop)
        first = loop.first_dispatch
        rate = loop.timed_examples / loop.timed_seconds if loop.timed_seconds else None
        self.run.summary = {
            "version": summary_lib.VERSION,
            "status": status,
            "steps": loop.step,
            "wanted_steps": self.plan.config.training.steps,
            "metrics": _finite_or_none(loop.metrics or self._logged()),
            "examples_seen": loop.examples_seen,
            "examples_per_second": rate,
            "engine": loop.engine,
            "input_wait_share": loop.timed_waiting / loop.timed_seconds if rate else None,
            "skipped_records": loop.feed.skipped_records,
            "wall_seconds": now - self.started,
            "time_to_first_step_seconds": None if first is None else first - self.started,
            "restarts": self.starts.restarts,
            "lost_steps": self.starts.lost_steps,
            "goodput": self.starts.goodput(),
            "process_count": jax.process_count(),
            "device_count": len(loop.strategy.devices),
            "strategy": self.plan.config.parallel.strategy,
            "precision": precision.described(self.plan.config),
            "preprocessing": config_lib.to_plain(self.plan.config.data.preprocessing),
            "compiles": loop.traces(),
            **summary_lib.environment(),
        }
        if self.workdir is not None and self.first:
            from ae_jax import _workdir as storage

            storage.write_json(self.workdir / storage.SUMMARY, self.run.summary)
        if status != "finished":
            self._say(summary_lib.text(self.run.summary, self.workdir))

    def _logged(self) -> dict[str, dict[str, float]]:
        """The last log point of each split, of earlier starts."""
        from ae_jax import _workdir as storage

        points = [] if self.workdir is None else storage.read_metrics(self.workdir)
        values = lambda point: {k: v for k, v in point.items() if k not in ("step", "split")}
        return {point["split"]: values(point) for point in points}

    def _is_finished(self, step: int) -> bool:
        """Whether nothing is left to do: a kill may come between last checkpoint and summary."""
        if self.workdir is None or step < self.plan.config.training.steps:
            return False
        found = summary_lib.read(self.workdir)
        return found.get("status") == "finished" and found["steps"] >= step

    def _already_finished(self, state: TrainState) -> Run:
        self._say(f"already finished at step {int(state.step):,}; raise training.steps to go on")
        self.run.variables = Variables(*parallel.fetch(tuple(state.evaluated)))
        self.run.summary = summary_lib.read(self.workdir)
        if self.first and self._figures_missing():
            self._figures()
        return self.run

    def _pictures(self, loop: Loop) -> None:
        from ae_jax import figures
        from ae_jax.runs import gallery

        if self.workdir is None or not self._shown()[1] or not gallery.is_image(self.run):
            return
        self.run.variables = loop.state.evaluated
        if processes.several():
            self.run.variables = Variables(*parallel.fetch(tuple(loop.state.evaluated)))
        if not self.first:
            return
        for name, sets in gallery.example_sets(self.run, *self._shown()).items():
            pictures = figures.to_pictures(
                figures.interleave(list(sets.values())), *self.run.display_range
            )
            loop.reporter.image(loop.step, name, figures.grid(pictures))

    def _figures(self) -> None:
        if self.workdir is None or not self._shown()[1]:
            return
        from ae_jax import _workdir as storage
        from ae_jax.runs import gallery

        folder = self.workdir / storage.FIGURES
        with storage.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / UNFINISHED).write_text("")
            gallery.draw(self.run, folder, *self._shown(), storage.read_metrics(self.workdir))
            (folder / UNFINISHED).unlink()

    def _figures_missing(self) -> bool:
        """Whether the figures of a finished run were never drawn to the end."""
        from ae_jax import _workdir as storage

        folder = self.workdir / storage.FIGURES
        return not folder.exists() or (folder / UNFINISHED).exists()

    def _shown(self) -> tuple[Source, int]:
        """The last split that holds examples, and how many of them to show."""
        splits = self.plan.dataset.splits
        return list(splits.values())[-1], self.plan.config.evaluation.images

    def _say(self, text: str) -> None:
        if self.progress:
            terminal.say(text)


def _sizes(dataset: Dataset) -> str:
    of = lambda split: f"{len(split):,} examples of {nbytes(split) / max(1, len(split)):,.0f} bytes"
    return ", ".join(f"{name} {of(split)}" for name, split in dataset.splits.items())


def _finite_or_none(metrics: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    keep = lambda v: v if math.isfinite(v) else None
    return {split: {k: keep(v) for k, v in own.items()} for split, own in metrics.items()}
