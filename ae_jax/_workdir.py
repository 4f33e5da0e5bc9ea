"""Every read and write in a workdir, local or `gs://`.

Nothing is appended to or renamed into place on a store that cannot do it: there, small files are
written whole.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from ae_jax import config
from ae_jax.config.sections import VERSION
from ae_jax.errors import AeJaxError, ConfigError, MissingFileError, WorkdirError

CONFIG = "config.json"
SUMMARY = "summary.json"
EVALUATION = "evaluation.json"
METRICS = "metrics"
FIGURES = "figures"
CHECKPOINTS = "checkpoints"
MEMBERS, TABLE = "members", "members.json"
"""Of a population: the key in its config.json, and its table of results."""
LINEAGE = "lineage.json"
"""Of a member that was exported: the members whose training its state has come through."""
TENSORBOARD = "tensorboard"


@contextlib.contextmanager
def writing(path: Any) -> Iterator[None]:
    """What the system says of a failed write within it, in one line of our own.

    Args:
      path: path of what is written.

    Raises:
      WorkdirError: the disk is full, read-only, gone.
    """
    try:
        yield
    except AeJaxError:
        raise
    except OSError as error:
        raise WorkdirError(
            f"'{path}' cannot be written: {error}. Checkpoints finished before are whole; once "
            "there is room, the same command goes on"
        ) from error


def open_workdir(workdir: Any, probe: bool = True) -> epath.Path:
    """The workdir as a path, created and proven writable.

    Args:
      workdir: local or `gs://`.
      probe: False for a process that only reads there; another creates it.

    Raises:
      ConfigError: it is a file, or has a name that this locale cannot encode.
      WorkdirError: it cannot be written.
    """
    path = epath.Path(workdir).expanduser()
    if path.exists() and not path.is_dir():
        raise ConfigError(f"the workdir '{workdir}' is a file; a run is kept in a folder")
    if any("\ud800" <= letter <= "\udfff" for letter in os.fspath(path)):
        raise ConfigError(
            f"the name of the workdir {os.fspath(path)!r} cannot be written in this locale; set "
            "PYTHONUTF8=1"
        )
    if not probe:
        return path
    mark = path / f".writable.{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        mark.write_text("")
        mark.unlink()
    except OSError as error:
        raise WorkdirError(f"the workdir '{workdir}' cannot be written: {error}") from error
    return path


def existing_workdir(workdir: Any) -> epath.Path:
    """The workdir of a run.

    Raises:
      MissingFileError: it holds no config.json.
    """
    path = epath.Path(workdir).expanduser()
    if not (path / CONFIG).exists():
        raise MissingFileError(f"'{workdir}' is not the workdir of a run: it has no {CONFIG}")
    return path


def write_json(path: epath.Path, value: Any) -> None:
    """Writes a small file in one go; locally through a rename, so that a reader never sees half.

    Raises:
      WorkdirError: it cannot be written.
    """
    text = json.dumps(value, indent=2, allow_nan=True, default=_plain) + "\n"
    if is_local(path):
        temporary = path.parent / f".{path.name}.{os.getpid()}"
        with writing(path):
            try:
                temporary.write_text(text)
                os.replace(temporary, path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
    else:
        with writing(path):
            path.write_text(text)


def read_json(path: epath.Path) -> Any:
    """Reads what `write_json` wrote.

    Raises:
      MissingFileError: there is no such file.
      WorkdirError: it is not JSON.
    """
    if not path.exists():
        raise MissingFileError(f"there is no '{path}'")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise WorkdirError(f"'{path}' is damaged: {error}") from error


def read_config(workdir: epath.Path, population: bool = False) -> dict[str, Any]:
    """What the config.json of a run, or of a population of runs, holds.

    Raises:
      WorkdirError: it is damaged, that of something else, or of a newer ae_jax.
    """
    file = workdir / CONFIG
    stored = read_json(file)
    if not isinstance(stored, dict) or not {"config", "spec"} <= stored.keys():
        raise WorkdirError(f"'{file}' is not that of a run: it has no 'config' and 'spec'")
    check_version(file, stored, VERSION)
    if population and MEMBERS not in stored:
        raise WorkdirError(f"'{workdir}' holds a single run, no population: ae.load reads it")
    if not population and MEMBERS in stored:
        raise WorkdirError(
            f"'{workdir}' holds a population of {len(stored[MEMBERS])} members: "
            "ae.load_population reads it, and its export(number, workdir) writes a run of its own"
        )
    return stored | {"config": config.of_older(stored["config"])}


def check_version(file: epath.Path, stored: Mapping[str, Any], known: int) -> None:
    """Raises WorkdirError if a file was written in a format that came after the known one."""
    version = stored.get("version", known)
    if not isinstance(version, int) or version > known:
        raise WorkdirError(
            f"'{file}' has version {version!r} and this ae_jax reads up to {known}: it is of a "
            "newer one, install that"
        )


def has_checkpoint(workdir: epath.Path) -> bool:
    """Whether a run in this workdir has saved anything to go on from."""
    folder = workdir / CHECKPOINTS
    return folder.exists() and any(entry.name.isdigit() for entry in folder.iterdir())


def is_local(path: Any) -> bool:
    """Whether the store is a local file system, which can append and rename."""
    return "://" not in os.fspath(path)


class MetricsSegment:
    """`metrics/<first step>.jsonl`: one start of a run, one object a log point."""

    def __init__(self, workdir: epath.Path, first_step: int):
        """Opens the segment, replacing one of the same first step and those of later ones.

        A start goes back behind an earlier one when a checkpoint could not be read.
        """
        self.path = workdir / METRICS / f"{first_step}.jsonl"
        self.lines: list[str] = []
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for other in _segments(self.path.parent):
                if int(other.stem) > first_step:
                    other.unlink()
            self.file = self.path.open("w") if is_local(self.path) else None

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Adds one log point."""
        line = json.dumps({"step": step, "split": split, **values}) + "\n"
        if self.file is not None:
            with writing(self.path):
                self.file.write(line)
                self.file.flush()
        else:
            self.lines.append(line)

    def flush(self) -> None:
        """On a store that cannot append, writes the segment whole."""
        if self.file is None and self.lines:
            with writing(self.path):
                self.path.write_text("".join(self.lines))

    def close(self) -> None:
        """Flushes and closes."""
        self.flush()
        if self.file is not None:
            with writing(self.path):
                self.file.close()


def read_metrics(workdir: Any) -> list[dict[str, Any]]:
    """All log points of a run in order of step; where starts overlap, the later start wins.

    Args:
      workdir: folder that holds metrics and summary.

    Returns:
      Dicts with "step", "split" ("train" or "test") and values. A last line cut short by a kill is
      left out.
    """
    folder = epath.Path(workdir).expanduser() / METRICS
    if not folder.exists():
        return []
    points: list[dict[str, Any]] = []
    for path in _segments(folder):
        points = [point for point in points if point["step"] <= int(path.stem)]
        for line in path.read_text().splitlines():
            try:
                points.append(json.loads(line))
            except ValueError:
                continue
    return points


def _segments(folder: epath.Path) -> list[epath.Path]:
    segments = (path for path in folder.glob("*.jsonl") if path.stem.isdigit())
    return sorted(segments, key=lambda path: int(path.stem))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
