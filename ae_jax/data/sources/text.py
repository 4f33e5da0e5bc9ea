"""Text as bytes: windows of files, or lines."""

import dataclasses
import importlib.util
import os
import pathlib
import zlib
from collections.abc import Sequence

import jax
import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.checks import require_positive_ints
from ae_jax.data import order
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split, split_mask
from ae_jax.data.source import Records
from ae_jax.data.sources.files import ArrayFile, check_utf8, chunks, existing
from ae_jax.errors import ConfigError, DataError, MissingFileError

SUFFIXES = (".rst", ".txt")
LINE_FEED = ord("\n")
BLOCK = 16
"""How many windows' length of text go to one split together."""


@SOURCES.register
def text(
    path: str | os.PathLike,
    length: int = 32,
    stride: int | None = None,
    lines: bool = False,
    test_fraction: float = TEST_FRACTION,
) -> Dataset:
    """UTF-8 text as tokens 0 … 255, its bytes: uint8 `[length]`, `num_classes` 256.

    Windows begin every `stride` bytes of each file and lie whole within it. So that none of the
    test split overlaps one of training, each file is cut into blocks of 16 lengths, held out by
    the hash of file name and block number, and windows across the border of two splits are left
    out: text appended to a file moves nothing. Files are checked once, then memory-mapped.

    Lines are one example each, the empty ones left out: what is longer than `length` is cut off,
    what is shorter ends with a line feed, by which a model learns where lines end, and is padded
    with 0 where `observed` is False; the extra "length" says how many bytes count, the line feed
    among them. They are held out by `ae.data.split_mask`.

    Args:
      path: path of a file, of a folder whose `.txt` and `.rst` files are taken in the order of
        their relative paths, or "embedded": the descriptions of data sets that scikit-learn
        carries, 43 kB of English.
      length: bytes an example.
      stride: bytes between the beginnings of windows; None: `length`, without overlap.
      lines: whether examples are lines rather than windows.
      test_fraction: the share held out.

    Returns:
      A Dataset of kind "tokens".

    Raises:
      MissingFileError: there is no such path, or scikit-learn is not installed for "embedded".
      ConfigError: a length or stride that is not a positive whole number; a stride for lines.
      DataError: text that is not UTF-8 (the byte is named), empty, or shorter than one window.
    """
    require_positive_ints(length=length, stride=length if stride is None else stride)
    if lines and stride is not None:
        raise ConfigError(f"stride is for windows; with lines=True leave it out, got {stride!r}")
    paths = _found(path)
    for _, file in paths:
        check_utf8(file)
    files = tuple(_mapped(file) for _, file in paths)
    if lines:
        whole = Passages(files, *_lines([file for _, file in paths], length), length)
        train, test = split(whole, fraction=test_fraction)
    else:
        names = [name for name, _ in paths]
        start, held_out = _windows(files, names, length, stride or length, test_fraction)
        whole = train = Passages(files, start[held_out == 0], None, length)
        test = Passages(files, start[held_out == 1], None, length)
    if not len(whole):
        what = "line that is not empty" if lines else f"window of {length} bytes"
        raise DataError(f"'{path}' has no {what} to learn from")
    return Dataset(
        train,
        test,
        source=f"text:{path}",
        kind="tokens",
        num_classes=256,
        overlapping=stride is not None and stride < length,
        terminator=LINE_FEED if lines else None,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Passages:
    """A source of stretches of files.

    Attributes:
      files: their bytes, thought of one after the other.
      start: int64 `[n]`, where each stretch begins.
      size: int32 `[n]`, how many bytes it has, at most `length`; None: all have `length`. A line
        feed ends those that have fewer.
      length: length of an example.
    """

    files: tuple[ArrayFile, ...]
    start: np.ndarray
    size: np.ndarray | None
    length: int

    @property
    def spec(self) -> Records:
        """See `Source`."""
        field = lambda shape, dtype: jax.ShapeDtypeStruct(shape, dtype)
        x, observed = field((self.length,), np.uint8), field((self.length,), np.bool_)
        return (
            Records(x)
            if self.size is None
            else Records(x, {"length": field((), np.int32)}, observed)
        )

    def __len__(self) -> int:
        """How many there are."""
        return len(self.start)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        start, within = self.start[index], np.arange(self.length)
        ends = np.cumsum([len(file) for file in self.files])
        number = np.searchsorted(ends, start, side="right")
        x = np.zeros((len(index), self.length), np.uint8)
        for i in np.unique(number):
            rows, file = number == i, self.files[i]
            begin = start[rows] - (ends[i] - len(file))
            x[rows] = file[np.minimum(begin[:, None] + within, len(file) - 1)]
        if self.size is None:
            return Records(x)
        size = self.size[index]
        counted = np.minimum(size + 1, self.length, dtype=np.int32)
        ends = np.where(within == size[:, None], np.uint8(LINE_FEED), np.uint8(0))
        x = np.where(within < size[:, None], x, ends)
        return Records(x, {"length": counted}, within < counted[:, None])


def _found(path: str | os.PathLike) -> list[tuple[str, pathlib.Path]]:
    """The files with the names that their blocks are hashed by; a file alone has none."""
    folder = _embedded() if path == "embedded" else existing(path)
    if folder.is_file():
        return [("", folder)]
    files = [f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file()]
    named = sorted((f.relative_to(folder).as_posix(), f) for f in files if f.stat().st_size)
    if not named:
        raise DataError(f"'{folder}' holds no text: expected files .txt, .rst that are not empty")
    return named


def _embedded() -> pathlib.Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingFileError(
            "the embedded text comes with scikit-learn: pip install scikit-learn"
        )
    return pathlib.Path(spec.origin).parent / "datasets" / "descr"


def _mapped(file: pathlib.Path) -> ArrayFile:
    return ArrayFile(str(file), (file.stat().st_size,), np.dtype(np.uint8))


def _lines(files: Sequence[pathlib.Path], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Beginning and size of all lines that are not empty, without their ends."""
    starts, sizes, before = [], [], 0
    for file in files:
        ends, last, at = [], [], 0  # where each line ends, and whether "\r" stands before that
        previous = np.uint8(0)
        for chunk in chunks(file):
            data = np.frombuffer(chunk, np.uint8)
            breaks = np.flatnonzero(data == ord("\n"))
            behind = np.concatenate([[previous], data])[breaks]
            ends.append(breaks + at)
            last.append(behind == ord("\r"))
            at, previous = at + len(data), data[-1]
        end = np.concatenate([*ends, [at]])
        begin = np.concatenate([[0], end[:-1] + 1])
        size = end - np.concatenate([*last, [False]]) - begin
        starts.append(begin[size > 0] + before)
        sizes.append(size[size > 0])
        before += at
    return np.concatenate(starts), np.minimum(np.concatenate(sizes), length).astype(np.int32)


def _windows(
    files: Sequence[ArrayFile], names: Sequence[str], length: int, stride: int, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Beginnings of all windows, and 1 for held out, 0 for not, 2 for across the border."""
    split_mask(0, fraction)  # the fraction is checked
    starts, splits, before, span = [], [], 0, BLOCK * length
    for file, name in zip(files, names, strict=True):
        begin = np.arange(0, max(0, len(file) - length + 1), stride)
        block = np.arange(len(file) // span + 1, dtype=np.uint32)
        salt = order.hash_index(block ^ np.uint32(zlib.crc32(name.encode())))
        held_out = salt < fraction * 2.0**32
        first, last = held_out[begin // span], held_out[(begin + length - 1) // span]
        starts.append(begin + before)
        splits.append(np.where(first == last, first, 2))
        before += len(file)
    return np.concatenate(starts), np.concatenate(splits)
