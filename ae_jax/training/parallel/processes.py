"""Several processes as one run: joining them, and what all of them must agree on.

Each process runs the same program in the same order. What could differ between them (clocks,
signals, files, errors) is asked of the first process, or gathered, before anything depends on it.
"""

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from ae_jax.errors import ConfigError, ProcessError, WorkdirError, nearest
from ae_jax.training.parallel.strategy import Strategy

JOIN_SECONDS = 45
HEARTBEAT_SECONDS = 15
LOOK_SECONDS = 10
"""How long a process waits for the others, for a sign of life, and for a file to be seen."""

CLUSTERS = ("auto", "gcetpu", "gketpu", "slurm", "k8s", "ompi", "mpi4py")
"""What JAX finds the other processes by; "auto" tries each."""


def join(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    cluster: str | None = None,
) -> None:
    """Joins the other processes; call it before any device is used.

    Args:
      coordinator: "HOST:PORT" of process 0.
      num_processes: how many there are.
      process_id: number of this process, from 0.
      cluster: one of `CLUSTERS` in place of all three.

    Raises:
      ConfigError: some of the three are missing or out of range, or there is no such cluster.
    """
    given = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    if cluster is None:
        _check_given(given)
    elif cluster not in CLUSTERS:
        raise ConfigError(f"no cluster is called {cluster!r}{nearest(cluster, CLUSTERS)}")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Two programs in flight could meet the other processes' in another order, and wait for ever.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    with _limit(JOIN_SECONDS, coordinator, num_processes, process_id):
        try:
            jax.distributed.initialize(
                coordinator,
                num_processes,
                process_id,
                cluster_detection_method=(
                    "deactivate" if cluster is None else None if cluster == "auto" else cluster
                ),
                initialization_timeout=2 * JOIN_SECONDS,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=2 * HEARTBEAT_SECONDS,
            )
        except (ValueError, KeyError) as error:
            raise ConfigError(
                f"no cluster was found by --cluster={cluster}: {error}. Name its kind, one of "
                f"{', '.join(CLUSTERS[1:])}, or give --coordinator, --num_processes and "
                "--process_id"
            ) from error


def _check_given(given: Mapping[str, Any]) -> None:
    if missing := [name for name, value in given.items() if value is None]:
        raise ConfigError(
            f"several processes need --{', --'.join(given)} (or --cluster alone); "
            f"--{', --'.join(missing)} not given"
        )
    coordinator, num, process = given.values()
    if not (coordinator.rpartition(":")[0] and coordinator.rpartition(":")[2].isdigit()):
        raise ConfigError(f"--coordinator must be HOST:PORT of process 0, got {coordinator!r}")
    if not 0 <= process < num:
        raise ConfigError(f"--process_id must be from 0 to {num - 1}, got {process}")


@contextlib.contextmanager
def _limit(seconds: float, coordinator: str | None, num: int | None, process: int | None):
    """Ends the process if the block takes longer: JAX itself would abort with a stack trace."""

    def give_up():
        where = f" at {coordinator}" if coordinator else ""
        what = (
            f"not all of the {num} processes joined within {seconds:.0f} s. Start them at the same "
            f"time; can they reach this one{where} (host name, port, firewall)?"
            if process == 0
            else f"the coordinator{where} was not reached within {seconds:.0f} s. Is process 0 "
            "running there, and its port open to this machine? All processes start at the same time"
        )
        print(f"ProcessError: {what}", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def joined() -> bool:
    """Whether this process has joined others; touches no device."""
    return jax.distributed.is_initialized()


def several() -> bool:
    """Whether there is more than one process."""
    return joined() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes and shows what all have computed."""
    return not several() or jax.process_index() == 0


def describe(strategy: Strategy) -> str:
    """One line of what this process brings to the run."""
    local = [d for d in strategy.devices if d.process_index == jax.process_index()]
    mesh = ", ".join(f"{name}={size}" for name, size in strategy.mesh.shape.items())
    return (
        f"process {jax.process_index()} of {jax.process_count()} on {socket.gethostname()}: "
        f"{len(local)} of {len(strategy.devices)} devices ({strategy.devices[0].device_kind}), "
        f"{strategy.name} on the mesh {mesh}"
    )


def from_first(value: float) -> float:
    """The first process's value, in every process."""
    if not several():
        return value
    halves = np.array([value], np.float64).view(np.uint32)  # JAX would round it to float32
    return float(multihost_utils.broadcast_one_to_all(halves).view(np.float64)[0])


def texts(text: str) -> list[str]:
    """Every process's text, in every process, in order."""
    if not several():
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    lengths = np.ravel(multihost_utils.process_allgather(np.int32(len(data))))
    padded = np.zeros(max(1, lengths.max()), np.uint8)
    padded[: len(data)] = data
    rows = multihost_utils.process_allgather(padded)
    return [bytes(row[:n]).decode() for row, n in zip(rows, lengths, strict=True)]


def wait_for_all() -> None:
    """Returns once every process has come here."""
    texts("")


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """An error in any process within it ends in an error in each, so that none waits for another.

    Raises:
      ProcessError: in the processes that had none of their own.
    """
    if not several():
        yield
        return
    error: Exception | None = None
    try:
        yield
    except Exception as problem:
        error = problem
    told = texts("" if error is None else f"{type(error).__name__}: {error}")
    failed = {i: text for i, text in enumerate(told) if text}
    if not failed:
        return
    if error is None:
        number, text = next(iter(failed.items()))
        error = ProcessError(f"process {number} stopped with {text}")
    error.__dict__["shared"] = True
    raise error


def check_same(what: Mapping[str, Any]) -> None:
    """Raises ConfigError in every process unless all give the same.

    Args:
      what: plain values of any depth, e.g. the complete config.
    """
    if not several():
        return
    first, *others = map(json.loads, texts(json.dumps(what, default=str)))
    for number, other in enumerate(others, 1):
        if differing := list(_differences(first, other)):
            more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
            raise _shared(
                ConfigError(
                    f"processes 0 and {number} were started with different settings: "
                    f"{'; '.join(differing[:5])}{more}"
                )
            )


def _differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from _differences(a.get(key), b.get(key), f"{path}.{key}".lstrip("."))
    elif a != b:
        yield f"{path}: {a!r:.60} and {b!r:.60}"


def check_devices(devices: Sequence[Any]) -> None:
    """Raises ConfigError if a process has none of the devices that take part."""
    idle = set(range(jax.process_count())) - {device.process_index for device in devices}
    if several() and idle:
        raise ConfigError(
            f"parallel.devices is {len(devices)}, which leaves none for process "
            f"{', '.join(map(str, sorted(idle)))}; leave it unset, or start fewer processes"
        )


def check_shared(workdir: Any) -> None:
    """Raises WorkdirError in every process unless all see the first one's files.

    Args:
      workdir: `etils.epath.Path` of this process; the first one's exists.
    """
    if not several():
        return
    first = is_first()
    token = texts(secrets.token_hex(8) if first else "")[0]
    mark = workdir / f".shared.{token}"
    with agreed():
        if first:
            mark.write_text(str(workdir))
    deadline = time.monotonic() + LOOK_SECONDS  # network file systems may show a file late
    while not (seen := mark.exists()) and time.monotonic() < deadline:
        time.sleep(0.1)
    places = texts("" if seen else f"'{workdir}' on {socket.gethostname()}")
    if first:
        mark.unlink()
    for number, place in enumerate(places):
        if place:
            raise _shared(
                WorkdirError(
                    "the workdir is not shared: what process 0 wrote is not there for process "
                    f"{number}, in {place}. Take a folder that all machines see, or gs://"
                )
            )


def _shared(error: Exception) -> Exception:
    error.__dict__["shared"] = True
    return error


def leave(code: int, error: BaseException) -> None:
    """Ends the process after an error, so that the others end as well.

    An orderly exit waits for the other processes, which is right where all of them have the same
    error; where this one is alone, they wait for it, and notice within `HEARTBEAT_SECONDS`.
    """
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    if joined() and not getattr(error, "shared", False):
        os._exit(code)
    sys.exit(code)
