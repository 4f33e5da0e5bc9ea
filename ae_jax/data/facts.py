"""What is known of a split's values after looking at each of them once."""

import dataclasses
import weakref
from typing import Any

import numpy as np

from ae_jax.data.source import Arrays, Source, check_records, lies_in_memory, pieces, sampled

SHARE = 1e-3
"""The share of a column's standard deviation that rounding may cost it. float32 rounds a number x
by up to |x| 2⁻²⁴: columns whose mean is more than 16,777 deviations from 0 are centred in float64,
on the host. What still loses twice this share is refused."""


@dataclasses.dataclass(frozen=True, eq=False)
class Facts:
    """What one look at a split finds, of the observed entries of valid examples.

    Fields are arrays `[d]`, a column each, of tables and series, scalars of anything else.

    Attributes:
      low: the smallest value, in the data's dtype; 0 where nothing is observed.
      high: the largest.
      count: how many entries are observed.
      missing: the share of entries that are not, in [0, 1].
      mean: mean in float64; None of bytes and booleans, which are never centred.
      deviation: standard deviation in float64, of n rather than n - 1; None of bytes and booleans.
      lost: the most that a value changes where it is rounded to float32, infinite beyond its range;
        values below 1e-38, which become 0, change nothing.
      whole: whether all values are whole numbers, of all columns together.
      levels: the distinct values of all columns together if there are at most two; else None.
    """

    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    missing: np.ndarray
    mean: np.ndarray | None
    deviation: np.ndarray | None
    lost: np.ndarray
    whole: bool
    levels: tuple[Any, ...] | None

    @property
    def extent(self) -> tuple[Any, Any]:
        """The smallest and the largest value of all columns together."""
        return self.low.min(), self.high.max()

    @property
    def constant(self) -> np.ndarray:
        """Whether a column holds a single value."""
        return np.asarray(self.low == self.high)

    @property
    def loses_in_float32(self) -> bool:
        """Whether float32 would take more than `SHARE` of the deviation from some column.

        That of a column which holds a single value is taken for 1.
        """
        if self.deviation is None:
            return False
        return bool((self.lost > SHARE * np.where(self.constant, 1.0, self.deviation)).any())


_SEEN: weakref.WeakKeyDictionary[Any, dict[bool, Facts]] = weakref.WeakKeyDictionary()


def facts_of(source: Source, by_column: bool, name: str = "training") -> Facts:
    """The facts of a split, found by `look` unless that has been done.

    Args:
      source: looked at whole if it lies in memory, else a fixed sample of it (`sampled`).
      by_column: whether the last axis holds columns, each of its own units.
      name: name of the split, for messages.

    Raises:
      DataError: what is not finite.
    """
    known = _known(source)
    return known[by_column] if by_column in known else look(source, by_column, name)


def extent_of(source: Source) -> tuple[Any, Any]:
    """The smallest and the largest value of a split; see `facts_of`."""
    known = list(_known(source).values())
    return (known[0] if known else look(source, by_column=False)).extent


def _known(source: Source) -> dict[bool, Facts]:
    """What has been found of this very source, to add to; kept for as long as it lives."""
    try:
        return _SEEN.setdefault(source, {})
    except TypeError:  # it cannot be referred to weakly
        return {}


def look(source: Source, by_column: bool, name: str = "training") -> Facts:
    """Goes through a split once, in pieces of at most 64 MiB, and keeps what it finds.

    Moments are gathered in float64, those of pieces joined by the formula of Chan, Golub & LeVeque
    (1983, "Algorithms for computing the sample variance").

    Args:
      source: source to look at, see `facts_of`.
      by_column: whether facts are by column, see `facts_of`.
      name: name of the split, see `facts_of`.

    Returns:
      The Facts.

    Raises:
      DataError: an observed value is not finite; value and place are named.

    Example:
      >>> import numpy as np
      >>> from ae_jax.data.source import Arrays
      >>> facts = look(Arrays(np.array([[1.0, 5.0], [3.0, 5.0]])), by_column=True)
      >>> facts.mean.tolist(), facts.deviation.tolist(), facts.constant.tolist()
      ([2.0, 5.0], [1.0, 0.0], [False, True])
    """
    whole = source if lies_in_memory(source) else sampled(source)
    gathered = _Gathered(whole.spec.x, by_column)
    start = 0
    for piece in pieces(whole):
        check_records(piece, name, np.arange(start, start + len(piece.x)))
        start += len(piece.x)
        x, seen = np.asarray(piece.x), piece.observed
        if piece.valid is not None:
            x, seen = x[piece.valid], None if seen is None else seen[piece.valid]
        gathered.add(x, seen)
    facts = gathered.facts()
    _known(source)[by_column] = facts
    return facts


SMALLEST = float(np.finfo(np.float32).tiny)  # nearer to 0, devices know 0 alone


class _Gathered:
    """Facts of the pieces so far."""

    def __init__(self, spec: Any, by_column: bool):
        shape = spec.shape[-1:] if by_column else ()
        self.axes = tuple(range(len(spec.shape))) if by_column else None
        self.dtype = np.dtype(spec.dtype)
        self.centred = self.dtype not in (np.uint8, np.bool_)
        least, greatest = _bounds(self.dtype)
        self.low, self.high = np.full(shape, greatest), np.full(shape, least)
        self.count, self.entries = np.zeros(shape, np.int64), 0
        self.origin: np.ndarray | None = None
        self.total, self.squares, self.lost = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.whole, self.levels = True, set()

    def add(self, x: np.ndarray, seen: np.ndarray | None) -> None:
        """Takes in a piece `[b, *event]`, of which `seen` says what is observed."""
        if not x.size:
            return
        least, greatest = _bounds(self.dtype)
        where = True if seen is None else seen
        low = np.minimum.reduce(x, axis=self.axes, where=where, initial=greatest)
        high = np.maximum.reduce(x, axis=self.axes, where=where, initial=least)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self._kinds(x, where, low, high)
        share = np.full(self.count.shape, x.size // max(1, self.count.size))
        count = share if seen is None else np.asarray(seen.sum(axis=self.axes))
        if self.centred:
            self._moments(x, seen, count)
        self.count, self.entries = self.count + count, self.entries + x.size

    def _kinds(self, x: np.ndarray, where: Any, low: np.ndarray, high: np.ndarray) -> None:
        if self.whole and x.dtype.kind == "f":
            self.whole = bool(((x == np.rint(x)) | np.logical_not(where)).all())
        if self.levels is not None and np.any(where):
            two = np.min(low), np.max(high)
            both = (x == two[0]) | (x == two[1]) | np.logical_not(where)
            levels = self.levels | set(two)
            self.levels = levels if both.all() and len(levels) <= 2 else None

    def _moments(self, x: np.ndarray, seen: np.ndarray | None, count: np.ndarray) -> None:
        """Joins sums, squares about the mean, and losses; far from 0 all is counted from there."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.origin is None:
                near = np.where(count > 0, self.low, 0).astype(np.float64)
                width = self.high.astype(np.float64) - near
                self.origin = np.where(loses(near, width), near, 0.0)
            values = x.astype(np.float64)
            if seen is not None:
                values = np.where(seen, values, self.origin)
            if not exact_in_float32(x.dtype):
                short = values.astype(np.float32).astype(np.float64)
                lost = np.where(np.isfinite(short), np.abs(values - short), np.inf)
                lost[np.abs(values) < SMALLEST] = 0.0
                self.lost = np.maximum(self.lost, lost.max(axis=self.axes))
            if self.origin.any():
                values -= self.origin
            total = values.sum(axis=self.axes)
            mean = total / np.maximum(count, 1)
            values -= mean
            if seen is not None:
                values = np.where(seen, values, 0.0)
            squares = np.square(values, out=values).sum(axis=self.axes)
            between = mean - self.total / np.maximum(self.count, 1)
            both = self.count * count / np.maximum(self.count + count, 1)
            self.squares = self.squares + squares + between**2 * both
            self.total = self.total + total

    def facts(self) -> Facts:
        """What was found."""
        count, none = np.maximum(self.count, 1), self.count == 0
        zero = np.zeros((), self.dtype)
        origin = 0.0 if self.origin is None else self.origin
        with np.errstate(over="ignore", invalid="ignore"):
            mean = origin + self.total / count if self.centred else None
            deviation = np.sqrt(self.squares / count) if self.centred else None
        return Facts(
            low=np.where(none, zero, self.low),
            high=np.where(none, zero, self.high),
            count=self.count,
            missing=1 - self.count * max(1, self.count.size) / max(1, self.entries),
            mean=mean,
            deviation=deviation,
            lost=self.lost,
            whole=self.whole,
            levels=None if self.levels is None else tuple(sorted(self.levels)),
        )


def loses(centre: np.ndarray | float, spread: np.ndarray | float) -> np.ndarray:
    """Whether float32 rounds values about `centre` by more than `SHARE` of their `spread`."""
    return np.asarray(np.abs(centre) * 2.0**-24 > SHARE * np.asarray(spread, np.float64))


def _bounds(dtype: np.dtype) -> tuple[Any, Any]:
    """The least and the greatest value of a dtype."""
    if dtype.kind == "f":
        return dtype.type(-np.inf), dtype.type(np.inf)
    if dtype.kind == "b":
        return np.False_, np.True_
    return dtype.type(np.iinfo(dtype).min), dtype.type(np.iinfo(dtype).max)


def narrowest(x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """A table as float32 if no column loses more than `SHARE` of its deviation, else as it is.

    Args:
      x: float64 `[n, columns]`.
      observed: bool, of x's shape.
    """
    facts = look(Arrays(np.where(observed, x, 0.0), observed=observed), by_column=True)
    return x if facts.loses_in_float32 else x.astype(np.float32)


def exact_in_float32(dtype: np.dtype) -> bool:
    """Whether float32 holds every number of this dtype."""
    return dtype.itemsize <= (4 if dtype.kind == "f" else 2)
