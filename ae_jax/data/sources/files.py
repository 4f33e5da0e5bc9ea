"""What lies in files: paths and text that are checked, arrays that stay where they are."""

import codecs
import dataclasses
import difflib
import functools
import importlib
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import jax
import numpy as np

from ae_jax.data.source import Arrays, Records, Source
from ae_jax.errors import DataError, MissingFileError

CHUNK = 2**22
PACKED = {
    b"\x1f\x8b": "compressed: gunzip it",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: unpack it, or save it as CSV",
}
"""What is no text by its first bytes, and what to do."""


def existing(path: str | os.PathLike) -> pathlib.Path:
    """The path with its `~` expanded.

    Raises:
      MissingFileError: nothing is there; the nearest name beside it is named.
    """
    wanted = pathlib.Path(path).expanduser()
    if wanted.exists():
        return wanted
    parent = wanted.parent
    if not parent.is_dir():
        above = next((p for p in wanted.parents if p.is_dir()), None)
        raise MissingFileError(f"'{wanted}' does not exist; of its folders only '{above}' does")
    names = sorted(os.listdir(parent))
    close = difflib.get_close_matches(wanted.name, names, n=1, cutoff=0.5)
    beside = f"did you mean '{close[0]}'?" if close else f"'{parent}' holds {_some(names)}"
    raise MissingFileError(f"'{wanted}' does not exist; {beside}")


def existing_folder(path: str | os.PathLike) -> pathlib.Path:
    """Like `existing`, and raises MissingFileError for what is not a folder."""
    folder = existing(path)
    if not folder.is_dir():
        raise MissingFileError(f"'{folder}' is a file; expected a folder")
    return folder


def existing_file(path: str | os.PathLike) -> pathlib.Path:
    """Like `existing`, and raises MissingFileError for what is a folder."""
    file = existing(path)
    if file.is_dir():
        raise MissingFileError(f"'{file}' is a folder; expected a file")
    return file


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "nothing"


def require(module: str, what: str, install: str) -> ModuleType:
    """The imported module.

    Raises:
      MissingFileError: it is not installed; says what needs it and what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingFileError(f"{what} needs {module}: pip install {install}") from error


def chunks(path: pathlib.Path) -> Iterator[bytes]:
    """A file's bytes, some MiB at a time."""
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def check_utf8(path: pathlib.Path) -> None:
    """Raises DataError naming the byte where a file stops being UTF-8, or that it is no text."""
    decoder, read, kept = codecs.getincrementaldecoder("utf-8")(), 0, 0
    try:
        for chunk in chunks(path):
            if not read:
                _check_packed(path, chunk)
            decoder.decode(chunk)
            read, kept = read + len(chunk), len(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        place, byte = read - kept + error.start, error.object[error.start]
        raise DataError(
            f"'{path}' is not UTF-8: byte {byte:#04x} at offset {place}: {error.reason}; "
            "convert it, e.g. iconv -f latin1 -t utf-8"
        ) from error
    if not read:
        raise DataError(f"'{path}' is empty")


def _check_packed(path: pathlib.Path, chunk: bytes) -> None:
    for magic, what in PACKED.items():
        if chunk.startswith(magic):
            raise DataError(f"'{path}' is no text but {what}")


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayFile:
    """An array within a file, mapped into memory when it is first indexed.

    It pickles as its path: the processes of a streaming run map the file themselves.

    Attributes:
      path: path of the file.
      shape: `[n, …]`.
      stored: its dtype in the file, of either byte order.
      offset: the byte where it begins.
      order: "C", or "F" for column-major.
    """

    path: str
    shape: tuple[int, ...]
    stored: np.dtype
    offset: int = 0
    order: Any = "C"

    def __post_init__(self):
        needed, present = self.offset + self.nbytes, os.path.getsize(self.path)
        if present < needed:
            raise DataError(
                f"'{self.path}' is truncated: its header promises {self.stored.name} of shape "
                f"{self.shape}, expected {needed} bytes, found {present}"
            )

    @property
    def nbytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.stored.itemsize

    @property
    def dtype(self) -> np.dtype:
        """Of what indexing gives: in the machine's own byte order."""
        return self.stored.newbyteorder("=")

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def __len__(self) -> int:
        """How many rows there are."""
        return self.shape[0]

    @functools.cached_property
    def _mapped(self) -> np.ndarray:
        if not self.nbytes:
            return np.zeros(self.shape, self.stored)
        return np.memmap(self.path, self.stored, "r", self.offset, self.shape, self.order)

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        """The rows at these places, copied out of the file."""
        return np.asarray(self._mapped[index]).astype(self.dtype, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """A source whose examples are rows of arrays in files; unlike `Arrays` never read whole.

    Attributes:
      x: `[n, *event]`.
      extras: each `[n, …]`.
      observed: `[n, *event]`, bool.
      valid: bool `[n]`, False for examples to pass over.
    """

    x: ArrayFile | np.ndarray
    extras: Mapping[str, ArrayFile | np.ndarray] = dataclasses.field(default_factory=dict)
    observed: ArrayFile | np.ndarray | None = None
    valid: ArrayFile | np.ndarray | None = None

    @property
    def _records(self) -> Records:
        return Records(self.x, dict(self.extras), self.observed, self.valid)

    @property
    def spec(self) -> Records:
        """See `Source`."""
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), self._records)

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.x)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        return jax.tree.map(lambda a: a[index], self._records)


def of_rows(
    x: ArrayFile | np.ndarray,
    extras: Mapping[str, ArrayFile | np.ndarray] | None = None,
    observed: ArrayFile | np.ndarray | None = None,
) -> Source:
    """`Arrays` where all of it is in memory, else `Rows`."""
    fields = [x, observed, *(extras or {}).values()]
    kind = Rows if any(isinstance(field, ArrayFile) for field in fields) else Arrays
    return kind(x, dict(extras or {}), observed)  # pyright: ignore[reportArgumentType]
