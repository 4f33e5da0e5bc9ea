"""The comparison: prepare, admit, tune, then fresh processes in turns. Goes on where it stopped."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from peers import table, workloads
from peers.store import Record, Store
from peers.trainer import Job

OURS = "ae_jax"
REGIMES = ("device", "host")
TUNING_SAMPLE = 2.0
"""Seconds of steps that a candidate is judged by."""
CACHES = {
    "JAX_COMPILATION_CACHE_DIR": "jax",
    "TORCHINDUCTOR_CACHE_DIR": "torch",
    "TRITON_CACHE_DIR": "triton",
}
Say = Callable[[str], None]


class Options(NamedTuple):
    """What is compared, and for how long.

    Attributes:
      folder: of all that is written.
      workloads: names.
      peers: names; ae_jax is always among them.
      variants: "peer.variant" names; none given: all.
      regimes: "device", "host".
      settings: "one" step a call with default threads, "best" after tuning.
      processes: a side.
      seconds: measured in each.
      tuning_seconds: for every row that is tuned, starts of processes included.
      size: of the workloads.
      precision: of all.
      timeout: seconds after which a process counts as failed.
      gpu: whether variants that need one take part.
      elbo_processes: a side, of those that train to a test −ELBO.
    """

    folder: str
    workloads: tuple[str, ...] = tuple(workloads.WORKLOADS)
    peers: tuple[str, ...] = tuple(table.PEERS)
    variants: tuple[str, ...] = ()
    regimes: tuple[str, ...] = REGIMES
    settings: tuple[str, ...] = ("one", "best")
    processes: int = 7
    seconds: float = 5.0
    tuning_seconds: float = 20.0
    size: str = "full"
    precision: str = "float32"
    timeout: float = 900.0
    gpu: bool = False
    elbo_processes: int = 3

    @property
    def fixed(self) -> dict[str, Any]:
        """What may not change in the middle of a comparison."""
        names = ("seconds", "tuning_seconds", "size", "precision", "gpu")
        return {name: getattr(self, name) for name in names}


class Entry(NamedTuple):
    """One side of the comparison: a row of the result.

    Attributes:
      peer: its name.
      variant: its variant's.
      regime: where the data lie.
      setting: "one" or "best".
      again: whether it is ae_jax a second time, which shows the noise.
    """

    peer: str
    variant: str
    regime: str
    setting: str
    again: bool = False

    @property
    def name(self) -> str:
        """Its key."""
        return "-".join((*self[:4], "again") if self.again else self[:4])


def entries(options: Options, workload: str) -> list[Entry]:
    """All sides of one workload, ae_jax first and last."""
    peers = [OURS, *(name for name in options.peers if name != OURS)]
    found = []
    for peer in map(table.find, peers):
        for variant in peer.variants_for(workload, options.gpu, options.precision):
            own = f"{peer.name}.{variant.name}"
            if peer.name != OURS and options.variants and own not in options.variants:
                continue
            found += [
                Entry(peer.name, variant.name, regime, setting)
                for regime in options.regimes
                for setting in options.settings
                if setting in peer.settings
            ]
    best = options.settings[-1]
    again = [e._replace(again=True) for e in found if e.peer == OURS and e.setting == best]
    return found + again


def in_turns(sides: Sequence[Entry], turn: int) -> list[Entry]:
    """The order of one round: another side begins each time, and every other round runs back."""
    first = turn % len(sides)
    order = [*sides[first:], *sides[:first]]
    return order[::-1] if turn % 2 else order


class Runner:
    """Starts processes, one at a time, and keeps what they tell."""

    def __init__(self, options: Options, say: Say = lambda line: print(line, file=sys.stderr)):
        """Opens the folder; nothing is run yet."""
        self.options, self.say = options, say
        self.store = Store(options.folder, options.fixed)

    def data(self, workload: str) -> str:
        """The folder that a workload's processes read."""
        return str(pathlib.Path(self.options.folder) / "data" / workload)

    def job(self, workload: str, **fields: Any) -> Job:
        """A Job with what all share filled in."""
        options = self.options
        own = {"size": options.size, "precision": options.precision, "folder": self.data(workload)}
        return Job(**{"workload": workload, "seconds": options.seconds, **own, **fields})

    def once(self, key: str, job: Job, timeout: float | None = None, cold: bool = False) -> Record:
        """The record of a key; runs the process if there is none yet."""
        held = self.store.get(key)
        if held is not None:
            return held
        record = launch(job, timeout or self.options.timeout, self.options.folder, cold)
        told = record.get("reason") or _brief(record)
        self.say(f"{time.strftime('%H:%M:%S')} {key}: {record['status']} {told}")
        return self.store.put(key, record)

    def prepare(self, workload: str) -> Record:
        """Writes what the others read, where it is not there yet."""
        key = f"{workload}/prepare"
        record = self.once(key, self.job(workload, mode="prepare"))
        if record["status"] != "ok":
            raise RuntimeError(f"{key} failed: {record['reason']}")
        return record

    def admit(self, workload: str, side: Entry) -> Record:
        """Whether a variant trains the same model."""
        job = self.job(workload, mode="admission", peer=side.peer, variant=side.variant)
        return self.once(f"{workload}/admission/{side.peer}-{side.variant}", job)

    def tune(self, workload: str, side: Entry) -> Record:
        """The best steps a call and threads that the tuning time shows, of the peer's own list."""
        key = f"{workload}/tuning/{side.peer}-{side.variant}-{side.regime}"
        held = self.store.get(key)
        if held is not None:
            return held
        tried, began = [], time.monotonic()
        candidates = table.find(side.peer).best
        for steps, threads in candidates:
            left = self.options.tuning_seconds - (time.monotonic() - began)
            if left <= 0:
                break
            job = self._timing(workload, side, steps, threads)
            job = job._replace(seconds=min(TUNING_SAMPLE, job.seconds))
            found = launch(job, min(left, self.options.timeout), self.options.folder)
            step_seconds = found.get("mean_step_seconds")
            tried.append(
                {"steps_per_call": steps, "threads": threads, "step_seconds": step_seconds}
            )
        timed = [row for row in tried if row["step_seconds"] is not None]
        first = {"steps_per_call": candidates[0][0], "threads": candidates[0][1]}
        best = min(timed, key=lambda row: row["step_seconds"], default=first)
        record = {
            "steps_per_call": best["steps_per_call"],
            "threads": best["threads"],
            "tried": tried,
            "of": len(candidates),
            "seconds": time.monotonic() - began,
        }
        self.say(
            f"{time.strftime('%H:%M:%S')} {key}: {record['steps_per_call']} steps a call, "
            f"{record['threads'] or 'all'} threads, {len(tried)} tried"
        )
        return self.store.put(key, record)

    def _timing(self, workload: str, side: Entry, steps: int, threads: int) -> Job:
        return self.job(
            workload,
            peer=side.peer,
            variant=side.variant,
            regime=side.regime,
            steps_per_call=steps,
            threads=threads,
        )

    def timing_job(self, workload: str, side: Entry) -> Job:
        """What a side's processes run: one step a call, or what tuning found."""
        if side.setting == "one":
            return self._timing(workload, side, 1, 0)
        tuned = self.tune(workload, side)
        return self._timing(workload, side, tuned["steps_per_call"], tuned["threads"])

    def compare(self, workload: str) -> None:
        """Everything of one workload, to the end."""
        self.prepare(workload)
        self.once(f"{workload}/peak", self.job(workload, mode="peak"))
        sides, present = entries(self.options, workload), self.options.peers
        for peer in set(present) - {side.peer for side in sides}:
            self.say(f"{workload}: {peer} is left out, it has none in {self.options.precision}")
        sides = [side for side in sides if self.admit(workload, side)["status"] == "ok"]
        jobs = {side: self.timing_job(workload, side) for side in sides}
        self.say(self.estimate(workload, sides))
        failed = set()
        for turn in range(self.options.processes):
            for side in in_turns(sides, turn):
                if side not in failed:
                    record = self.once(f"{workload}/timing/{side.name}/{turn}", jobs[side])
                    failed |= {side} if record["status"] != "ok" else set()

    def estimate(self, workload: str, sides: Sequence[Entry]) -> str:
        """How long the timed processes will take, by those that were run to admit."""
        total, left = 0.0, 0
        for side in sides:
            keys = (f"{workload}/timing/{side.name}/{i}" for i in range(self.options.processes))
            missing = sum(self.store.get(key) is None for key in keys)
            start = self.admit(workload, side).get("wall_seconds", 0.0)
            total += missing * (start + 1.5 * self.options.seconds)
            left += missing
        return f"{workload}: {left} processes to time, about {total / 60:.0f} min"


def launch(job: Job, timeout: float, folder: str, cold: bool = False) -> Record:
    """Runs a worker to its end.

    Args:
      job: its work.
      timeout: seconds after which it is ended.
      folder: whose caches of compiled programs it uses.
      cold: use empty caches, which are thrown away, instead.

    Returns:
      Its record; "failed" with the last line of what it wrote to stderr if it has none.
    """
    flags = [f"--{name}={value}" for name, value in job._asdict().items()]
    command = [sys.executable, "-m", "peers.worker", *flags]
    caches = tempfile.mkdtemp() if cold else str(pathlib.Path(folder).absolute() / "caches")
    places = {name: str(pathlib.Path(caches) / own) for name, own in CACHES.items()}
    about = {"job": job._asdict(), "cache": "cold" if cold else "warm"}
    process = subprocess.Popen(
        command,
        env=os.environ | places | {"PYTHONPATH": _with_scripts()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that compilers it has started end with it
    )
    try:
        output, errors = process.communicate(timeout=timeout)
        lines = [line for line in output.splitlines() if line.strip()]
        if process.returncode == 0 and lines:
            return json.loads(lines[-1]) | about
        said = [line for line in errors.splitlines() if line.strip()] or ["it said nothing"]
        return {**about, "status": "failed", "reason": said[-1], "code": process.returncode}
    except subprocess.TimeoutExpired:
        return {**about, "status": "failed", "reason": f"not done after {timeout:.0f} s"}
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if cold:
            shutil.rmtree(caches, ignore_errors=True)


def _with_scripts() -> str:
    """Where a worker looks for modules: beside this package, then where this process does."""
    told = os.environ.get("PYTHONPATH")
    folder = str(pathlib.Path(__file__).parents[1])
    return os.pathsep.join([folder, *([told] if told else [])])


def _brief(record: Record) -> str:
    """What the terminal says of a record."""
    if reasons := record.get("reasons"):
        return reasons[0]
    if "step_seconds" in record:
        return f"{1e3 * record['step_seconds']:.3f} ms a step"
    return f"{record.get('wall_seconds', 0.0):.1f} s"
