"""One start of a population in its workdir: resume, train, checkpoints, table, summary."""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax.errors import ConfigError, Preempted, WorkdirError
from ae_jax.population import saved, selecting
from ae_jax.population.begin import first_state
from ae_jax.population.groups import Group, Resolved
from ae_jax.population.loop import PopulationLoop
from ae_jax.population.programs import bodies, stacked_values
from ae_jax.population.results import stored, summary_of, table_rows
from ae_jax.population.rounds import Rounds, events_of, require_same
from ae_jax.population.stack import Joined, Stack, group_stacks, nbytes, place_data
from ae_jax.runs import summary as summary_lib
from ae_jax.runs.history import Starts
from ae_jax.training import terminal
from ae_jax.training.loop import train
from ae_jax.training.parallel import members as members_lib
from ae_jax.training.parallel import processes
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.reporting import Reporter


class PopulationStart:
    """Everything around one call of `fit_population`."""

    def __init__(
        self,
        found: Resolved,
        optimizer: Any,
        form: str,
        budget: int | None,
        workdir: Any,
        callbacks: Sequence[Callable[..., None]],
        progress: bool,
        started: float,
        rounds: Rounds | None = None,
    ):
        """Makes sure that several processes are about to do the same.

        Each has some of the devices, with the members there. The first writes and shows; all of
        them gather what it does. Arguments are those of `fit_population`.
        """
        self.found, self.optimizer, self.form, self.budget = found, optimizer, form, budget
        self.given: Any = workdir
        self.workdir: Any = None
        self.first, self.started = processes.is_first(), started
        self.callbacks, self.progress = callbacks if self.first else (), progress and self.first
        self.rounds, self.before, self.events = rounds, {}, []
        self.training = found.base.config.training
        with processes.agreed():
            self.stored = stored(found, form, workdir is not None, rounds)
        processes.check_devices(self._devices())
        own = {"workdir given": workdir is not None, "versions": summary_lib.versions()}
        processes.check_same({**self.stored, **own})

    def train(self) -> tuple[list[Any], dict[str, Any], list[dict[str, Any]]]:
        """Trains from wherever the workdir stands to the configured number of steps.

        Returns:
          The states at the end, NumPy, the summary and the table.
        """
        with contextlib.ExitStack() as stack:
            checkpoints = self._open(stack)
            with processes.agreed():
                restored, states = self._states(checkpoints)
                step = 0 if restored is None else restored.step
                if self.before:
                    require_same(self.rounds, self.found, self.workdir, self.before, step)
                ended = None if self.workdir is None else self._ended(step)
            if ended is not None:
                self._say(f"already finished at step {step:,}; raise training.steps to go on")
                self.events = events_of(self.workdir)
                return states, *ended
            live = None if restored is None else restored.tree.get(saved.LIVE)
            return self._train(states, live, step, checkpoints)

    def _open(self, stack: contextlib.ExitStack) -> Any:
        if self.given is None:
            return None
        from ae_jax import _workdir as storage
        from ae_jax.runs import lock
        from ae_jax.training.checkpoint import Checkpoints

        with processes.agreed():
            self.workdir = storage.open_workdir(self.given, probe=self.first)
            if self.first:
                stack.enter_context(lock.held(self.workdir, self._say))
            self._check_same_members()
        processes.check_shared(self.workdir)
        keep = self.training.keep_checkpoints
        return stack.enter_context(Checkpoints(self.workdir, keep, read_only=not self.first))

    def _check_same_members(self) -> None:
        from ae_jax import _workdir as storage
        from ae_jax.runs import resuming

        if not (self.workdir / storage.CONFIG).exists():
            return
        self.before = old = storage.read_config(self.workdir, population=True)
        marks = self.stored["fingerprint"]
        resuming.check_same(self.workdir, old, self.found.base.config, marks)
        now = json.loads(json.dumps(self.found.members))
        if old["members"] != now or old["form"] != self.form:
            raise WorkdirError(
                f"'{self.workdir}' holds a population of {len(old['members'])} other members, "
                f"form {old['form']!r}: take another workdir, or the same values in the same order"
            )

    def _states(self, checkpoints: Any) -> tuple[Any, list[Any]]:
        """What was restored, and of all groups the states, NumPy, and their numbers."""
        from ae_jax.runs import resuming

        restored = None if checkpoints is None else resuming.newest(checkpoints, self._say)
        states = [self._state(n, group, restored) for n, group in enumerate(self.found.groups)]
        return restored, states

    def _state(self, number: int, group: Group, restored: Any) -> Any:
        values = stacked_values(group.traced, group.configs)
        if restored is None:
            return first_state(group, values, self.optimizer, self._say), values
        init = bodies(group.plan, self.optimizer).init
        keys = jax.random.split(jax.random.key(0), len(group.numbers))
        like = jax.eval_shape(jax.vmap(init), values, keys)
        return saved.restored(restored.tree[f"group{number}"], group.traced, like)

    def _ended(self, step: int) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Summary and table, if nothing is left to do."""
        from ae_jax import _workdir as storage

        if step < self.training.steps or not (self.workdir / storage.TABLE).exists():
            return None
        before = summary_lib.read(self.workdir)
        done = before.get("status") == "finished" and before["steps"] >= step
        return (before, storage.read_json(self.workdir / storage.TABLE)) if done else None

    def _train(
        self, states: list[Any], live: Any, step: int, checkpoints: Any
    ) -> tuple[list[Any], dict[str, Any], list[dict[str, Any]]]:
        written = self.workdir if self.first else None
        starts = Starts(written, step)
        if written is not None:
            from ae_jax import _workdir as storage

            storage.write_json(written / storage.CONFIG, self.stored)
        if step:
            self._say(f"resuming at step {step:,}")
        if self.rounds is not None and "validation" not in self.found.base.dataset.splits:
            self._say(
                "members are selected by the test split, which is then no longer unseen; "
                "data.validation_fraction=0.1 carves out one to select by"
            )
        counted = parallel.counts.copy()
        members = members_lib.over(self._devices(), self.form)
        data = place_data(self.found.base, members)
        stacks, stopped = self._stacks(states, live, data, members)
        status = "failed"
        reporting = (written, step, self.training.steps, self.callbacks, self.progress)
        with Reporter(*reporting) as reporter:
            loop: Any = PopulationLoop(
                self.found.base,
                self.found.groups,
                stacks,
                data,
                members,
                reporter,
                step,
                counted,
                self.rounds,
                stopped,
            )
            self.events = loop.events
            try:
                processes.wait_for_all()  # the first one's reporter drops points beyond this step
                loop.begin(self._logged())
                train(loop, self._saver(loop, checkpoints, starts))
                status = "finished"
            except (Preempted, KeyboardInterrupt):
                status = "preempted"
                raise
            finally:
                summary, table = self._end(loop, status, starts, checkpoints)
                if status != "failed":  # an exit must not end the first one's writing
                    processes.wait_for_all()
        groups = saved.groups_of(loop.stacks, loop.stopped, parallel.fetch(loop.state))
        return groups, summary, table

    def _logged(self) -> list[dict[str, Any]]:
        """The log points of earlier starts."""
        from ae_jax import _workdir as storage

        return [] if self.workdir is None else storage.read_metrics(self.workdir)

    def _devices(self) -> list[Any]:
        present, wanted = jax.devices(), self.found.base.config.parallel.devices
        if wanted is not None and wanted > len(present):
            raise ConfigError(f"parallel.devices is {wanted}, but this machine has {len(present)}")
        return list(present[:wanted])

    def _stacks(
        self, states: Sequence[Any], live: Any, data: Any, members: Any
    ) -> tuple[list[tuple[int, Stack]], list[tuple[int, Joined]]]:
        """The members as they take turns on the devices, and those stopped, with their groups."""
        resident = sum(nbytes(state) for state, _ in states) // members.devices
        stacks: list[tuple[int, Stack]] = []
        stopped: list[tuple[int, Joined]] = []
        for number, (group, state) in enumerate(zip(self.found.groups, states, strict=True)):
            parted = selecting.parted(group.numbers, state[0], state[1], live)
            stopped += [] if parted.stopped is None else [(number, parted.stopped)]
            if parted.numbers:
                group = group._replace(numbers=parted.numbers)
                how = self.optimizer, members, data, self.budget, resident
                own = group_stacks(group, parted.state, parted.values, *how)
                stacks += [(number, stack) for stack in own]
        self._say_stacks(stacks, members)
        return stacks, stopped

    def _say_stacks(self, stacks: Sequence[tuple[int, Stack]], members: Any) -> None:
        groups, apart = len(self.found.groups), self.found.apart
        said = f"{len(self.found.members)} members on {members.devices} device(s)"
        if processes.several():
            said += f" of {jax.process_count()} processes"
        if groups > 1:
            said += f", in {groups} programs, one for each value of {', '.join(apart)}"
        if len(stacks) > groups:
            said += f", in {len(stacks)} turns, as memory allows"
        self._say(said)

    def _saver(self, loop: PopulationLoop, checkpoints: Any, starts: Starts) -> Callable:
        def save(fetched: Any, examples_seen: int, metrics: Any) -> None:
            del metrics
            if checkpoints is not None:
                live = None if self.rounds is None else np.isin(range(loop.count), loop.live)
                tree = saved.tree_of(
                    saved.groups_of(loop.stacks, loop.stopped, fetched), live
                )  # all gather
                if self.first:
                    checkpoints.save_tree(loop.step, tree, examples_seen)
            self._note(loop, starts)
            loop.reporter.flush()

        return save

    def _note(self, loop: PopulationLoop, starts: Starts) -> None:
        starts.note(loop.step, loop.timed_seconds, time.time() - self.started)

    def _end(
        self, loop: PopulationLoop, status: str, starts: Starts, checkpoints: Any
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """`_close`; what has failed already says more than that its end cannot be written."""
        if status != "failed":
            return self._close(loop, status, starts, checkpoints)
        with contextlib.suppress(WorkdirError):
            return self._close(loop, status, starts, checkpoints)
        return {}, []

    def _close(
        self, loop: PopulationLoop, status: str, starts: Starts, checkpoints: Any
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        if checkpoints is not None:
            checkpoints.wait()
        self._note(loop, starts)
        table = table_rows(self.found.members, loop)
        summary = summary_of(loop, status, starts, self.started)
        if self.workdir is not None and self.first:
            from ae_jax import _workdir as storage

            storage.write_json(self.workdir / storage.SUMMARY, summary)
            storage.write_json(self.workdir / storage.TABLE, table)
        rate = summary["examples_per_second"]
        speed = f"{rate:,.0f} examples/s of all members" if rate else "speed not measured"
        lost = f", diverged: {summary['diverged']}" if summary["diverged"] else ""
        if self.rounds is not None:
            lost += f", {summary['member_steps']:,} member-steps"
        self._say(f"{status} at step {loop.step:,} of {self.training.steps:,}: {speed}{lost}")
        return summary, table

    def _say(self, text: str) -> None:
        if self.progress:
            terminal.say(text)
