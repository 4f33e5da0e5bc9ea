"""What data are read from: anything with a length, an element spec and `read(indices)`."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from ae_jax.data import order
from ae_jax.errors import DataError
from ae_jax.types import Column

PIECE = 8192
PIECE_BYTES = 64 * 2**20
COPY_BYTES = 4 * 2**20
ALIGNMENT = 64  # bytes
SAMPLED = 8192
"""How many examples stand for a data set too large to look at whole."""


class Records(NamedTuple):
    """Several examples on the host, in the data's own units and dtype.

    Attributes:
      x: `[b, *event]`.
      extras: labels, lengths, conditions, each `[b, …]`.
      observed: bool `[b, *event]`, False where an entry is missing; None: none is.
      valid: bool `[b]`, False for a record that could not be read and was skipped; None: all are.
    """

    x: Any
    extras: Mapping[str, Any] = {}
    observed: Any = None
    valid: Any = None


@runtime_checkable
class Source(Protocol):
    """A split of a data set. Reads whole batches at a time, from any thread, in any order."""

    @property
    def spec(self) -> Records:
        """One example's fields as `jax.ShapeDtypeStruct`; None where `read` gives None."""
        ...

    def __len__(self) -> int:
        """How many examples there are."""
        ...

    def read(self, index: np.ndarray) -> Records:
        """The examples at these places, integers `[b]`.

        Raises:
          DataError: a record cannot be read; file, record and expectation are named.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """A source whose examples are rows of arrays, in memory or memory-mapped.

    Attributes:
      x: `[n, *event]`, in the data's own units and dtype.
      extras: labels and other fields, each `[n, …]`.
      observed: bool `[n, *event]`, False where an entry is missing; None: none is.
      valid: bool `[n]`, False for examples to pass over; None: all count.
      columns: columns of a table, from left to right; None: they have no names.

    Raises:
      DataError: x is a masked array, of which NumPy would drop the mask.
    """

    x: np.ndarray
    extras: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    observed: np.ndarray | None = None
    valid: np.ndarray | None = None
    columns: tuple[Column, ...] | None = None

    def __post_init__(self):
        """Refuses what would be read wrong."""
        if isinstance(self.x, np.ma.MaskedArray):
            raise DataError(
                "ae.data.Arrays takes no masked array: ae.data.from_arrays(x) does, or "
                "Arrays(x.filled(0), observed=~np.ma.getmaskarray(x))"
            )

    @property
    def spec(self) -> Records:
        """See `Source`."""
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), self.records)

    @property
    def records(self) -> Records:
        """All examples at once."""
        return Records(self.x, dict(self.extras), self.observed, self.valid)

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.x)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        return jax.tree.map(lambda a: np.asarray(a[index]), self.records)


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What is read from another source.

    Attributes:
      whole: the source.
    """

    whole: Source


@dataclasses.dataclass(frozen=True, eq=False)
class Subset(View):
    """Some examples of another source, in the order given.

    Attributes:
      whole: the source.
      index: integers `[n]` into it.
    """

    index: np.ndarray

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """Those of the whole; see `Arrays`."""
        return getattr(self.whole, "columns", None)

    @property
    def spec(self) -> Records:
        """See `Source`."""
        return self.whole.spec

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.index)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        return self.whole.read(self.index[index])


def nbytes(source: Source) -> int:
    """The size of all examples in bytes, as they would lie on a device."""
    size = lambda field: math.prod(field.shape) * np.dtype(field.dtype).itemsize
    return len(source) * sum(map(size, jax.tree.leaves(source.spec)))


def pieces(
    source: Source, index: np.ndarray | None = None, most: int = PIECE_BYTES
) -> Iterator[Records]:
    """The examples in order, some thousands at a time.

    Args:
      source: read piece by piece.
      index: integers `[n]`, which examples; None: all.
      most: bytes of a piece, unless a single example has more.
    """
    total = len(source) if index is None else len(index)
    fitting = most * len(source) // max(1, nbytes(source))
    piece = min(PIECE, max(1, fitting))
    for start in range(0, total, piece):
        places = np.arange(start, min(start + piece, total))
        yield source.read(places if index is None else index[places])


def lies_in_memory(source: Source) -> bool:
    """Whether all of it is in memory, so that looking at it whole reads no file."""
    if isinstance(source, View):
        whole = source.whole
        mapped = isinstance(whole, Arrays) and isinstance(whole.x, np.memmap)
        return lies_in_memory(whole) and not mapped
    return isinstance(source, Arrays)


def in_memory(source: Source) -> Arrays:
    """The source read once into arrays; an `Arrays` is returned as it is.

    Raises:
      DataError: a value is not finite.
    """
    if isinstance(source, Arrays):
        return source
    return _joined(source, None if lies_in_memory(source) else "loaded")


def _joined(source: Source, checked: str | None = None) -> Arrays:
    """What `pieces` gives in one, checked under that name if there is one."""
    read = pieces(source, most=COPY_BYTES if lies_in_memory(source) else PIECE_BYTES)
    first = next(read, None) or source.read(np.arange(0))
    held = jax.tree.map(lambda leaf: _aligned((len(source), *leaf.shape[1:]), leaf.dtype), first)
    end = 0
    for piece in itertools.chain([first], read):
        rows, end = slice(end, end + len(piece.x)), end + len(piece.x)
        if checked:
            check_records(piece, checked, np.arange(rows.start, end))
        jax.tree.map(lambda into, leaf, rows=rows: np.copyto(into[rows], leaf), held, piece)
    return Arrays(*held)


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array that begins where a CPU device takes it over without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    whole = np.empty(size + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + size].view(dtype).reshape(shape)


def sampled(source: Source, limit: int = SAMPLED) -> Arrays:
    """A fixed pseudo-random choice of at most `limit` examples, in memory; all if no more.

    Raises:
      DataError: one of them is not finite.
    """
    number = np.arange(min(limit, len(source)), dtype=np.uint32)
    index = number if len(source) <= limit else order.order(0, 0, number, len(source), xp=np)
    chosen = _joined(Subset(source, index.astype(np.int64)))
    check_records(chosen.records, "sampled", index)
    return chosen


def readable(records: Records) -> Records:
    """Those of the examples that could be read.

    Example:
      >>> readable(Records(np.array([[1], [0]]), valid=np.array([True, False]))).x.tolist()
      [[1]]
    """
    if records.valid is None:
        return records
    return jax.tree.map(lambda field: np.asarray(field)[records.valid], records)


def as_numpy(records: Records) -> Records:
    """The same records, every field a NumPy array and the extras a dict.

    Example:
      >>> type(as_numpy(Records(jax.numpy.ones((2, 1)))).x).__name__
      'ndarray'
    """
    return jax.tree.map(np.asarray, records._replace(extras=dict(records.extras)))


def check_records(records: Records, name: str, index: np.ndarray | None = None) -> None:
    """Raises DataError if an observed number is not finite, naming the value and its record.

    Args:
      records: as read.
      name: name of the data, for the message.
      index: integers `[b]`, the records' places in the data set; None: `0 … b-1`.
    """
    x = records.x
    if not np.issubdtype(x.dtype, np.floating):
        return
    bad = ~np.isfinite(x)
    if records.observed is not None:
        bad &= records.observed
    if records.valid is not None:
        bad[~records.valid] = False
    if not bad.any():
        return
    row, *inside = (int(i) for i in np.argwhere(bad)[0])
    place = (row if index is None else int(index[row]), *inside)
    raise DataError(
        f"the {name} data hold {int(bad.sum())} value(s) that are not finite, the first "
        f"{x[(row, *inside)]} at {place}; remove or impute them, or declare them missing: "
        "ae.data.from_arrays(x, observed=~np.isnan(x))"
    )
