"""One process at a time trains in a workdir: `lock.json` says which.

Where the store can, the lock is created atomically (`O_EXCL`), and whoever takes one over or gives
one back holds the folder (`flock`) meanwhile; object stores have no such thing through `epath`, so
that there two processes that start within the same second may both pass.
"""

import contextlib
import json
import os
import pathlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ae_jax import _workdir as storage
from ae_jax.errors import WorkdirError

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows has none
    import fcntl

FILE = "lock.json"
BEAT_SECONDS = 30.0
STALE_SECONDS = 300.0
"""How often a lock is renewed, and how long after that it counts as left behind on another host."""


@contextlib.contextmanager
def held(workdir: Any, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock of a workdir within the block.

    A lock left behind is taken over: one of a process of this host that has ended, or one of
    another host that was not renewed for `STALE_SECONDS`.

    Args:
      workdir: `etils.epath.Path`, writable.
      say: shows a line to the user.

    Raises:
      WorkdirError: another process holds it.
    """
    file, identity = workdir / FILE, _identity()
    with _alone(file):
        left = _claim(file, identity)
    if left is not None:
        say(f"taking over from {_described(left)}, which has ended without a word")
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(file, identity, ended), daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        with contextlib.suppress(OSError), _alone(file):
            _remove(file, identity)


@contextlib.contextmanager
def _alone(file: Any) -> Iterator[None]:
    """Keeps all others from claiming or removing the lock within the block, where files are local.

    A look at a lock left behind and its removal are two steps: between them another may take over.
    """
    if fcntl is None or not storage.is_local(file):
        yield
        return
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no such locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _claim(file: Any, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Creates the lock; returns the one left behind whose place it takes, or None.

    Raises:
      WorkdirError: another process holds it.
    """
    left = None
    while not _create(file, identity):
        holder = _read(file)
        if holder is None:  # released in between
            continue
        if not _is_stale(holder):
            raise WorkdirError(
                f"'{file.parent}' is in use by {_described(holder)}: wait for it, stop it, or take "
                f"another workdir. If it is gone for certain, delete '{file}'"
            )
        if _remove(file, holder):
            left = holder
    return left


def _identity() -> dict[str, Any]:
    """This process and this moment, in plain values."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "process_started": _process_started(pid),
        "since": time.time(),
        "beat": time.time(),
        "token": secrets.token_hex(8),
    }


def _process_started(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None where the system does not tell.

    Process ids are used again, in containers after every restart; a start time is not.
    """
    with contextlib.suppress(OSError, IndexError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return None


def _create(file: Any, identity: dict[str, Any]) -> bool:
    text = json.dumps(identity)
    if not storage.is_local(file):
        if file.exists():
            return False
        file.write_text(text)
        return True
    try:
        number = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(number, "w") as opened:
        opened.write(text)
    return True


def _read(file: Any) -> dict[str, Any] | None:
    """What a lock says; None if there is none. One cut short counts from the file's own time."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        return None
    with contextlib.suppress(ValueError):
        holder = json.loads(text)
        if isinstance(holder, dict) and {"host", "pid", "beat", "token"} <= holder.keys():
            return holder
    with contextlib.suppress(OSError):
        return {"host": None, "pid": None, "beat": file.stat().mtime, "token": None}
    return None


def _is_stale(holder: dict[str, Any]) -> bool:
    if holder["host"] != socket.gethostname():
        return time.time() - holder["beat"] > STALE_SECONDS
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, as another user's
        return False
    started = _process_started(holder["pid"])
    return None not in (started, known := holder.get("process_started")) and started != known


def _remove(file: Any, holder: dict[str, Any]) -> bool:
    """Deletes the lock if it is still this holder's; whether it was."""
    kept = _read(file)
    if kept is None or kept["token"] != holder["token"]:
        return False
    file.unlink()
    return True


def _beat(file: Any, identity: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):  # a full disk is for the run to speak of
            holder = _read(file)
            if holder is None or holder["token"] != identity["token"]:
                return
            storage.write_json(file, identity | {"beat": time.time()})


def _described(holder: dict[str, Any]) -> str:
    if holder["pid"] is None:
        return "another process"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.get("since", holder["beat"])))
    return f"process {holder['pid']} on {holder['host']} since {since}"
