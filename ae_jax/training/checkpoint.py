"""Checkpoints through Orbax: asynchronous, versioned, checked, the last N and the best.

A checkpoint is one unstacked copy of the TrainState as NumPy, with `examples_seen` and a checksum
beside it. One that cannot be read is passed over for the one before.
"""

import contextlib
import logging
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy as preservation

from ae_jax._workdir import CHECKPOINTS, is_local
from ae_jax.errors import CheckpointError, WorkdirError
from ae_jax.training.checkpoint_tree import checksum, to_tree
from ae_jax.training.state import TrainState
from ae_jax.types import Tree

VERSION = 1
FULL = "No space left on device"
log = logging.getLogger("ae_jax")


class Restored(NamedTuple):
    """What a checkpoint gives back.

    Attributes:
      tree: nested mapping, see `to_tree`; `from_tree` makes it a TrainState again.
      examples_seen: examples trained on before.
      step: step of the checkpoint.
      passed_over: steps of newer checkpoints that could not be read.
    """

    tree: dict[str, Tree]
    examples_seen: int
    step: int
    passed_over: tuple[int, ...]


class Checkpoints:
    """The checkpoints of one workdir; use it as a context manager."""

    def __init__(self, workdir: epath.Path, keep: int = 2, read_only: bool = False):
        """Opens `workdir/checkpoints`, on this process's own account.

        Of several processes the first writes, since the fetched state is the same in all of them;
        the others go on without waiting for it.

        Args:
          workdir: folder that holds the checkpoints.
          keep: how many of the last to keep, beside the best.
          read_only: touch nothing: the run may be training in another process.
        """
        best = preservation.BestN(
            get_metric_fn=lambda metrics: metrics["loss"],
            reverse=True,
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        policy = preservation.AnyPreservationPolicy([preservation.LatestN(keep), best])
        alone = _alone()
        handlers = {
            "state": ocp.StandardCheckpointHandler(multiprocessing_options=alone),
            "meta": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
        }
        self.folder, self.quiet = workdir / CHECKPOINTS, contextlib.ExitStack()
        if is_local(self.folder):
            self.folder = self.folder.resolve()  # Orbax refuses relative paths
        if not read_only:
            self.folder.mkdir(parents=True, exist_ok=True)
        with _quiet():  # Orbax warns that reading only is reading only
            options = ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                best_fn=lambda metrics: metrics["loss"],
                best_mode="min",
                cleanup_tmp_directories=not read_only,
                read_only=read_only,
                create=False,
                multiprocessing_options=alone,
            )
            self.manager = ocp.CheckpointManager(
                self.folder, item_handlers=handlers, options=options
            )
        # The loop asks, of all processes at once; see `Preemption`.
        self.manager.reached_preemption = lambda step: False

    def __enter__(self) -> "Checkpoints":
        """The open checkpoints."""
        self.quiet.enter_context(_quiet())  # its threads log what they raise here as well
        return self

    def __exit__(self, *error: Any) -> None:
        """Waits for what is being written, and closes."""
        try:
            with self.quiet:
                self.manager.close()
        except Exception as problem:
            if error[0] is None:
                raise self._unwritten(problem) from problem

    def save(
        self, state: TrainState, examples_seen: int, metrics: dict[str, float] | None = None
    ) -> None:
        """Starts writing a checkpoint; returns before it is on disk.

        Args:
          state: fetched, of NumPy arrays.
          examples_seen: examples trained on before.
          metrics: metrics of the split to choose by at this step, by which the best is kept; None
            if not evaluated.

        Raises:
          WorkdirError: it, or the one before, cannot be written.
        """
        self.save_tree(int(state.step), to_tree(state), examples_seen, metrics)

    def save_tree(
        self,
        step: int,
        tree: dict[str, Tree],
        examples_seen: int,
        metrics: dict[str, float] | None = None,
    ) -> None:
        """`save` of a tree of NumPy arrays, as `restore` gives it back."""
        if step in self.manager.all_steps():
            return
        meta = {"version": VERSION, "examples_seen": examples_seen, "checksum": checksum(tree)}
        args = ocp.args.Composite(state=ocp.args.StandardSave(tree), meta=ocp.args.JsonSave(meta))
        loss = math.nan if metrics is None else metrics["loss"]
        scored = {"loss": loss} if math.isfinite(loss) else None
        with self._writing(), _quiet():  # it also warns of every checkpoint that has no metrics
            self.manager.save(step, args=args, metrics=scored)

    def wait(self) -> None:
        """Returns once everything started is durable."""
        with self._writing():
            self.manager.wait_until_finished()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax, TensorStore and the OS each raise their own
            raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> WorkdirError:
        said = (str(error).strip() or repr(error)).splitlines()[0][:200]
        said = FULL if FULL in str(error) else said
        return WorkdirError(
            f"a checkpoint in '{self.folder}' cannot be written: {said}. Those finished before are "
            "whole; once there is room, the same command goes on"
        )

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, ascending."""
        return sorted(self.manager.all_steps())

    def best_step(self) -> int | None:
        """The step with the lowest validation (else test) loss, if any was evaluated."""
        return self.manager.best_step()

    def restore(self, step: int | None = None) -> Restored | None:
        """The newest readable checkpoint, or the one of a step.

        Args:
          step: which; None: the newest.

        Returns:
          What it holds, or None if there is no checkpoint at all.

        Raises:
          CheckpointError: there are some, and none can be read.
        """
        steps = self.steps()[::-1] if step is None else [step]
        problems: dict[int, str] = {}
        for candidate in steps:
            try:
                tree, meta = self._read(candidate)
            except Exception as error:  # Orbax, TensorStore, JSON and the OS each raise their own
                problems[candidate] = (str(error).strip() or repr(error)).splitlines()[0][:300]
                log.warning("checkpoint %d cannot be read: %s", candidate, problems[candidate])
                continue
            return Restored(tree, int(meta["examples_seen"]), candidate, tuple(problems))
        if problems:
            listed = "; ".join(f"{step}: {problem}" for step, problem in problems.items())
            raise CheckpointError(f"no checkpoint in '{self.folder}' can be read: {listed}")
        return None

    def _read(self, step: int) -> tuple[dict[str, Tree], dict[str, Any]]:
        args = ocp.args.Composite(meta=ocp.args.JsonRestore())
        meta = self.manager.restore(step, args=args)["meta"]
        if meta.get("version") != VERSION:
            raise CheckpointError(
                f"its version is {meta.get('version')!r}, this ae_jax reads {VERSION}"
            )
        args = ocp.args.Composite(state=ocp.args.StandardRestore())
        tree = self.manager.restore(step, args=args)["state"]
        if checksum(tree) != meta["checksum"]:
            raise CheckpointError("its contents do not have the checksum they were written with")
        return tree, meta

    def forget(self, steps: tuple[int, ...]) -> None:
        """Deletes checkpoints that cannot be read, so that their steps can be saved again."""
        for step in steps:
            self.manager.delete(step)


def _alone() -> ocp.options.MultiprocessingOptions:
    """Lets Orbax wait for no other process."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process,
        active_processes={process},
        barrier_sync_key_prefix=f"process {process}",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
