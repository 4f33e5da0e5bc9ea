"""Grain's random-access sources, ArrayRecord files among them."""

import bisect
import dataclasses
import functools
import glob
import io
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax._registry import SOURCES, import_object
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split
from ae_jax.data.source import Records
from ae_jax.data.sources.files import existing, require
from ae_jax.data.sources.images import ON_BAD
from ae_jax.data.sources.npy import header_of
from ae_jax.errors import ConfigError, DataError, MissingFileError

KEYS = ("x", "image")
"""What the data may be called in an element that is a dict."""


def from_grain(
    source: Any,
    test: Any = None,
    *,
    decode: str | Callable[[Any], Any] | None = None,
    test_fraction: float = TEST_FRACTION,
    on_bad: str = "error",
    name: str = "the Grain source",
) -> Dataset:
    """A Dataset from anything with a length and `source[i]`, such as Grain's sources have.

    Args:
      source: its elements are arrays, or dicts of arrays and numbers that have an "x" or an
        "image"; their other numbers become extras, text is passed over. A `grain.MapDataset` with
        its transformations will do. Batches go through `__getitems__` where there is one.
      test: another to evaluate on; None holds out `test_fraction` by `ae.data.split_mask`.
      decode: from an element to one as above, a function or its name "package.module:function";
        None: elements are such already.
      test_fraction: the share held out.
      on_bad: what an element that cannot be had does: "error", or "skip", whereby it becomes zeros
        with `valid` False.
      name: name of the source, for messages.

    Returns:
      A Dataset.

    Raises:
      ConfigError: another on_bad.
      DataError: no elements, or (also from `read`) one that cannot be read or is unlike the first.
    """
    if on_bad not in ON_BAD:
        raise ConfigError(f"on_bad must be 'error' or 'skip', got {on_bad!r}")
    parts = [Elements(s, name, decode, on_bad) for s in (source, test) if s is not None]
    for part in parts:
        if not len(part):
            raise DataError(f"{name} has no elements")
        part.check()
    train, held_out = parts if len(parts) == 2 else split(parts[0], fraction=test_fraction)
    return Dataset(train, held_out)


@SOURCES.register
def grain(path: str, test_fraction: float = TEST_FRACTION, on_bad: str = "error") -> Dataset:
    """The Grain source that a function of the user's own returns; see `from_grain`.

    Args:
      path: "package.module:function", called without arguments.
      test_fraction: the share held out by `ae.data.split_mask`.
      on_bad: "error" or "skip".
    """
    source = import_object(path)()
    dataset = from_grain(source, test_fraction=test_fraction, on_bad=on_bad, name=f"'{path}'")
    return dataset._replace(source=f"grain:{path}")


@SOURCES.register
def arrayrecord(
    path: str | os.PathLike,
    decode: str | Callable[[bytes], Any] | None = None,
    test_fraction: float = TEST_FRACTION,
    on_bad: str = "error",
) -> Dataset:
    """The records of ArrayRecord files, in the order of the files' names.

    Args:
      path: path of a file, or of several by a pattern such as `data/train-*.array_record`.
      decode: from a record's bytes to an array or a dict of arrays as in `from_grain`, by its name
        "package.module:function"; None: records are the bytes of `.npy` or `.npz` files.
      test_fraction: the share held out by `ae.data.split_mask`.
      on_bad: what a damaged record does: "error" or "skip", as in `from_grain`.

    Returns:
      A Dataset.

    Raises:
      MissingFileError: no file is there, or Grain is not installed.
      DataError: a truncated or damaged file or record, named.
    """
    pattern = os.path.expanduser(os.fspath(path))
    paths = sorted(glob.glob(pattern))
    if not paths and glob.has_magic(pattern):
        raise MissingFileError(f"no file matches '{pattern}'")
    records = ArrayRecords(paths or [str(existing(pattern))])
    dataset = from_grain(
        records, decode=decode or from_npy, test_fraction=test_fraction, on_bad=on_bad
    )
    return dataset._replace(source=f"arrayrecord:{path}")


def from_npy(record: bytes) -> Any:
    """The array of a `.npy` file's bytes, or the arrays of a `.npz` file's by name."""
    prefix = len(np.lib.format.MAGIC_PREFIX)
    if record[:prefix] != np.lib.format.MAGIC_PREFIX:
        return dict(np.load(io.BytesIO(record), allow_pickle=False))
    begin = prefix + 4 if record[prefix] == 1 else prefix + 6  # after version and header's length
    start = begin + int.from_bytes(record[prefix + 2 : begin], "little")
    shape, order, dtype = _header(record[:start])
    array = np.frombuffer(record, dtype, math.prod(shape), start)
    return array.reshape(shape, order=order).astype(dtype.newbyteorder("="), copy=False)


@functools.lru_cache(maxsize=256)  # records are alike, and parsing costs more than all else
def _header(header: bytes) -> tuple[tuple[int, ...], Any, np.dtype]:
    return header_of(io.BytesIO(header), "the record")


class ArrayRecords:
    """ArrayRecord files one after the other; each is Grain's own source."""

    def __init__(self, paths: Sequence[str]):
        """Opens all files, whose index is at their end: truncated ones are found here."""
        sources = require("grain", "reading ArrayRecord", "grain").sources
        self.paths, self.shards = list(paths), []
        for path in paths:
            try:
                self.shards.append(sources.ArrayRecordDataSource([path]))
            except RuntimeError as error:
                raise DataError(
                    f"'{path}' ({os.path.getsize(path)} bytes) is not a whole ArrayRecord file: "
                    f"{str(error) or 'its index is missing'}"
                ) from error
        self.ends = list(itertools.accumulate(map(len, self.shards)))

    def __len__(self) -> int:
        """How many records there are."""
        return self.ends[-1]

    def _place(self, i: int) -> tuple[int, int]:
        shard = bisect.bisect_right(self.ends, i)
        return shard, i - (self.ends[shard - 1] if shard else 0)

    def __getitem__(self, i: int) -> bytes:
        """Record i."""
        shard, place = self._place(i)
        return self.shards[shard][place]

    def __getitems__(self, index: Sequence[int]) -> list[bytes]:
        """Several records, one call a file."""
        places = [self._place(i) for i in index]
        contents: list[bytes] = [b""] * len(places)
        for shard in {shard for shard, _ in places}:
            rows = [row for row, (place_shard, _) in enumerate(places) if place_shard == shard]
            records = self.shards[shard].__getitems__([places[row][1] for row in rows])
            for row, record in zip(rows, records, strict=True):
                contents[row] = record
        return contents

    def describe(self, i: int) -> str:
        """Where record i lies."""
        shard, place = self._place(i)
        return f"record {place} of '{self.paths[shard]}'"


@dataclasses.dataclass(frozen=True, eq=False)
class Elements:
    """The elements of a random-access source, stacked.

    Attributes:
      source: has a length and `source[i]`.
      name: name for messages.
      decode: decoding of a record, see `from_grain`.
      on_bad: "error" or "skip".
    """

    source: Any
    name: str
    decode: str | Callable[[Any], Any] | None = None
    on_bad: str = "error"

    @functools.cached_property
    def _first(self) -> dict[str, np.ndarray]:
        """The first element that can be read; all others must be like it."""
        for i in range(len(self)):
            try:
                return self._element(i)
            except DataError:
                if self.on_bad == "error":
                    raise
        raise DataError(f"{self.name}: none of its {len(self)} elements can be read")

    @functools.cached_property
    def _decode(self) -> Callable[[Any], Any]:
        if self.decode is None:
            return lambda element: element
        return import_object(self.decode) if isinstance(self.decode, str) else self.decode

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def check(self) -> None:
        """Reads the first element, and raises DataError if it is not what it must be."""
        _ = self._first

    @property
    def spec(self) -> Records:
        """See `Source`."""
        of = lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype)
        extras = {key: of(value) for key, value in self._first.items() if key != "x"}
        valid = jax.ShapeDtypeStruct((), np.bool_) if self.on_bad == "skip" else None
        return Records(of(self._first["x"]), extras, valid=valid)

    def __len__(self) -> int:
        """How many elements there are."""
        return len(self.source)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        places = [int(i) for i in index]
        fields = {k: np.zeros((len(places), *v.shape), v.dtype) for k, v in self._first.items()}
        valid = np.ones(len(places), bool)
        got = self._several(places)
        for row, i in enumerate(places):
            try:
                element = self._element(i) if got is None else self._fields(i, got[row])
                self._check_alike(i, element)
            except DataError:
                if self.on_bad == "error":
                    raise
                valid[row] = False
                continue
            for key, value in fields.items():
                value[row] = element[key]
        return Records(fields.pop("x"), fields, valid=valid if self.on_bad == "skip" else None)

    def _several(self, places: list[int]) -> Sequence[Any] | None:
        """One call for all; None where that cannot be, or one of them is bad."""
        if not places or not hasattr(self.source, "__getitems__"):
            return None
        try:
            return self.source.__getitems__(places)
        except Exception:  # read one by one, the culprit is found
            return None

    def _element(self, i: int) -> dict[str, np.ndarray]:
        try:
            element = self.source[i]
        except Exception as error:  # whatever the user's source raises
            raise DataError(f"{self._describe(i)} cannot be read: {error}") from error
        return self._fields(i, element)

    def _fields(self, i: int, element: Any) -> dict[str, np.ndarray]:
        decode = self._decode
        try:
            element = decode(element)
        except Exception as error:  # whatever the user's function raises
            raise DataError(f"{self._describe(i)} cannot be decoded: {error}") from error
        if not isinstance(element, Mapping):
            element = {"x": element}
        key = next((key for key in KEYS if key in element), None)
        if key is None:
            names = ", ".join(map(str, element)) or "nothing"
            raise DataError(f"{self._describe(i)} holds {names}; expected an 'x' or an 'image'")
        fields = {k: np.asarray(v) for k, v in element.items() if k != key}
        numbers = {str(k): v for k, v in fields.items() if v.dtype.kind in "biuf"}
        return {**numbers, "x": np.asarray(element[key])}

    def _check_alike(self, i: int, element: Mapping[str, np.ndarray]) -> None:
        for key, first in self._first.items():
            value = element.get(key)
            if value is None:
                raise DataError(f"{self._describe(i)} has no '{key}', which the first one has")
            if value.shape != first.shape or not np.can_cast(value.dtype, first.dtype, "same_kind"):
                raise DataError(
                    f"{self._describe(i)}: '{key}' is {value.dtype} of shape {value.shape}, that "
                    f"of the first one {first.dtype} of shape {first.shape}"
                )

    def _describe(self, i: int) -> str:
        describe = getattr(self.source, "describe", None)
        return describe(i) if describe else f"element {i} of {self.name}"
