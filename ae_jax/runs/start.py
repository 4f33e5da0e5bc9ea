"""One start of a run in its workdir: resume, train, checkpoints, summary, figures."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax import compiler, keys
from ae_jax import config as config_lib
from ae_jax.config.sections import VERSION, Config
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import nbytes
from ae_jax.errors import Preempted, WorkdirError
from ae_jax.runs import first_batch
from ae_jax.runs import summary as summary_lib
from ae_jax.runs.fingerprint import fingerprint
from ae_jax.runs.history import Starts
from ae_jax.runs.pictures import Pictures
from ae_jax.runs.run import Run
from ae_jax.training import terminal
from ae_jax.training.checkpoint_tree import from_tree
from ae_jax.training.loop import Loop, Plan, train
from ae_jax.training.parallel import processes
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.profiling import FOLDER, Profiler
from ae_jax.training.reporting import Reporter
from ae_jax.training.state import TrainState
from ae_jax.types import spec_to_dict


class Start:
    """Everything around one call of `fit`: its workdir, checkpoints, summary and figures."""

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
        self.pictures = Pictures(plan, run, None)
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
        strategy: Any = self.plan.strategy
        processes.check_devices(strategy.devices)
        if progress:
            terminal.say(processes.describe(strategy))
        local = {"profile": self.profile, "workdir given": workdir is not None}
        processes.check_same({**self.stored, **local, "versions": summary_lib.versions()})

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
        self.pictures = Pictures(self.plan, self.run, self.workdir)
        processes.check_shared(self.workdir)
        keep = self.plan.config.training.keep_checkpoints
        return stack.enter_context(Checkpoints(self.workdir, keep, read_only=not self.first))

    def train(self) -> tuple[TrainState, dict[str, Any]]:
        """Trains from wherever the workdir stands to the configured number of steps.

        Returns:
          The state at the end, NumPy, and what summary.json holds.

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
        init, root = compiler.jit(self.plan.init), keys.root(self.plan.config.training.seed)
        restored = None if checkpoints is None else self._restored(checkpoints)
        if restored is None:
            if self.plan.config.training.init_from is not None:
                return self._warm(init(root)), 0
            return first_batch.started(self.plan, init(root), root), 0
        return from_tree(restored.tree, jax.eval_shape(init, root)), restored.examples_seen

    def _restored(self, checkpoints: Any) -> Any:
        from ae_jax.runs import resuming

        return resuming.newest(checkpoints, self._say)

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

    def _train(
        self, state: TrainState, examples_seen: int, checkpoints: Any
    ) -> tuple[TrainState, dict[str, Any]]:
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
                progress = train(loop, self._saver(loop, checkpoints), self.pictures.show)
                status = "finished"
            except (Preempted, KeyboardInterrupt):
                status = "preempted"
                raise
            finally:
                loop.close()
                summary = self._end(loop, status, checkpoints)
                if status != "failed":  # an exit must not end the first one's writing
                    processes.wait_for_all()
        if self.first:
            self.pictures.draw(progress.state.evaluated)
        processes.wait_for_all()
        self._say(summary_lib.text(summary, self.workdir))
        return progress.state, summary

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

    def _end(self, loop: Loop, status: str, checkpoints: Any) -> dict[str, Any]:
        """Waits for the disk, then writes the summary; a run not written has failed."""
        try:
            if checkpoints is not None:
                checkpoints.wait()
        except WorkdirError:
            with contextlib.suppress(WorkdirError):
                self._close(loop, "failed")
            raise
        if status != "failed":
            return self._close(loop, status)
        with contextlib.suppress(WorkdirError):
            return self._close(loop, status)
        return {}

    def _close(self, loop: Loop, status: str) -> dict[str, Any]:
        self._note(loop)
        logged = loop.metrics or self._logged()
        summary = summary_lib.of_loop(loop, status, self.starts, self.started, logged)
        if self.workdir is not None and self.first:
            from ae_jax import _workdir as storage

            storage.write_json(self.workdir / storage.SUMMARY, summary)
        if status != "finished":
            self._say(summary_lib.text(summary, self.workdir))
        return summary

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
        stored = summary_lib.read(self.workdir)
        return stored.get("status") == "finished" and stored["steps"] >= step

    def _already_finished(self, state: TrainState) -> tuple[TrainState, dict[str, Any]]:
        self._say(f"already finished at step {int(state.step):,}; raise training.steps to go on")
        state = parallel.fetch(state)
        if self.first and self.pictures.wanted and self.pictures.missing():
            self.pictures.draw(state.evaluated)
        return state, summary_lib.read(self.workdir)

    def _say(self, text: str) -> None:
        if self.progress:
            terminal.say(text)


def _sizes(dataset: Dataset) -> str:
    of = lambda split: f"{len(split):,} examples of {nbytes(split) / max(1, len(split)):,.0f} bytes"
    return ", ".join(f"{name} {of(split)}" for name, split in dataset.splits.items())
