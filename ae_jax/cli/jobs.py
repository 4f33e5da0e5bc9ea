"""Configs trained one after the other: finished ones are skipped, failures written down."""

import collections
import hashlib
import json
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from absl import flags

from ae_jax import _workdir as storage
from ae_jax import config as config_lib
from ae_jax.cli import command
from ae_jax.errors import ConfigError
from ae_jax.runs import summary
from ae_jax.training.preemption import taken

FILE = "queue.json"
VERSION = 1
PREEMPTED = 143
SHOWN_LINES = 5


class Job(NamedTuple):
    """One line of the list.

    Attributes:
      config: `FILE` or `FILE:variant`.
      overrides: `--config.path.to.field=value`.
      name: name of the workdir: the file's and a hash of the complete config; None if there is
        none.
      problem: why there is none.
    """

    config: str
    overrides: tuple[str, ...]
    name: str | None
    problem: str | None = None

    @property
    def label(self) -> str:
        """The line itself."""
        return shlex.join([self.config, *self.overrides])


def read(lines: Iterable[str], overrides: Sequence[str] = ()) -> list[Job]:
    """The jobs of a list.

    Args:
      lines: each a config, with overrides of its own if any; what follows # is a comment.
      overrides: overrides of all of them, before their own.

    Returns:
      A Job for each line that is not empty; those of equal configs once.
    """
    jobs: dict[str, Job] = {}
    for line in lines:
        if words := shlex.split(line, comments=True):
            job = _job(words[0], (*overrides, *words[1:]))
            jobs.setdefault(job.name or job.label, job)
    return list(jobs.values())


def _job(config: str, overrides: tuple[str, ...]) -> Job:
    values = flags.FlagValues()
    argv = ["run_queue", f"--config={config}", *overrides]
    command.define_config(flag_values=values, sys_argv=argv)
    try:
        rest = values(argv)[1:]
        if rest:
            raise ConfigError(f"unexpected argument {rest[0]!r}")
        given = values["config"].value.copy_and_resolve_references()  # pyright: ignore[reportOptionalMemberAccess]
        complete = config_lib.complete(given)
    except Exception as error:  # a config is a program: anything may be wrong with it
        return Job(config, overrides, None, f"{type(error).__name__}: {error}"[:500])
    text = json.dumps(complete, sort_keys=True, default=str)
    stem = pathlib.Path(config.partition(":")[0]).stem
    return Job(config, overrides, f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:10]}")


class Queue:
    """Trains jobs one after the other, each in a process of its own.

    `ROOT/queue.json` tells what became of them: status (waiting, running, finished, failed,
    preempted), exit code, seconds, and the last lines of what a failed one said.
    """

    def __init__(self, jobs: Sequence[Job], root: Any, command: Sequence[str]):
        """Reads nothing yet.

        Args:
          jobs: jobs in order.
          root: the folder of the workdirs, local or `gs://`.
          command: that trains, to which `--config`, overrides and `--workdir` are added.
        """
        self.jobs, self.command = list(jobs), list(command)
        self.root = storage.open_workdir(root)
        self.records: list[dict[str, Any]] = [
            {
                "config": job.config,
                "overrides": list(job.overrides),
                "workdir": None if job.name is None else str(self.root / job.name),
                "status": "waiting",
                "exit_code": None,
                "seconds": None,
                "error": job.problem,
            }
            for job in jobs
        ]
        self.child: subprocess.Popen[str] | None = None
        self.stopped = False

    def run(self) -> int:
        """Runs every job that is not finished.

        Returns:
          0 if all are finished, 1 if one has failed, 143 if SIGTERM or Ctrl-C came: the job that
          was running has saved, and the same command goes on.
        """
        before = {n: signal.signal(n, self._stop) for n in taken()}
        try:
            for job, record in zip(self.jobs, self.records, strict=True):
                self._one(job, record)
                self._write()
                if record["status"] == "preempted":
                    return PREEMPTED
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0 if all(record["status"] == "finished" for record in self.records) else 1

    def _one(self, job: Job, record: dict[str, Any]) -> None:
        if job.name is None:
            record["status"] = "failed"
            self._say(f"{job.label}: failed, {job.problem}")
            return
        if self._is_finished(job.name):
            record["status"] = "finished"
            self._say(f"{job.label}: finished before")
            return
        record["status"] = "running"
        self._write()
        self._say(f"{job.label}: {record['workdir']}")
        began = time.monotonic()
        code, said = self._train(job)
        record |= {"exit_code": code, "seconds": round(time.monotonic() - began, 3)}
        if code == 0 and self._is_finished(job.name):
            record |= {"status": "finished", "error": None}
        elif code == PREEMPTED or self.stopped:
            record["status"] = "preempted"
        else:
            record |= {"status": "failed", "error": "\n".join(said)}
        self._say(f"{job.label}: {record['status']} after {record['seconds']:.0f} s")

    def _train(self, job: Job) -> tuple[int, list[str]]:
        """Runs the command, passing on what it says; its exit code and its last lines."""
        workdir = f"--workdir={self.root / str(job.name)}"
        command = [*self.command, f"--config={job.config}", *job.overrides, workdir]
        last: collections.deque[str] = collections.deque(maxlen=SHOWN_LINES)
        if self.stopped:
            return PREEMPTED, []
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stderr=pipe, text=True, errors="replace") as child:
            self.child = child
            if self.stopped:  # the signal came in between
                child.terminate()
            for line in child.stderr or ():
                sys.stderr.write(line)
                last.append(line.rstrip())
        self.child = None
        return child.returncode, [line for line in last if line]

    def _is_finished(self, name: str) -> bool:
        return summary.read(self.root / name).get("status") == "finished"

    def _stop(self, number: int, frame: Any) -> None:
        del frame
        self.stopped = True
        if self.child is not None and number != signal.SIGINT:  # a terminal sends Ctrl-C to both
            self.child.terminate()

    def _write(self) -> None:
        storage.write_json(self.root / FILE, {"version": VERSION, "jobs": self.records})

    def _say(self, text: str) -> None:
        print(f"queue: {text}", file=sys.stderr, flush=True)
