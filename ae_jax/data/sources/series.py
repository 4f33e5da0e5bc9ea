"""Windows of one multivariate series."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.checks import require_positive_ints
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split_mask
from ae_jax.data.facts import narrowest
from ae_jax.data.source import Records
from ae_jax.data.sources import table
from ae_jax.data.sources.cells import Cells
from ae_jax.data.sources.csv import read as read_csv
from ae_jax.data.sources.dialect import RECOGNISED, Dialect
from ae_jax.data.sources.files import ArrayFile, existing
from ae_jax.data.sources.npy import mapped
from ae_jax.errors import ConfigError, DataError


@SOURCES.register
def series(
    path: str | os.PathLike | np.ndarray,
    window: int,
    stride: int = 1,
    test_fraction: float = TEST_FRACTION,
    missing: bool = False,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    header: bool | None = None,
) -> Dataset:
    """Windows `[window, channels]` of a series `[time, channels]`, copied out only as read.

    The test split is the last part of the series in time: no window lies across the border, so
    that none of the test split overlaps one of training.

    Args:
      path: path of a `.npy` file, which is memory-mapped, or of a `.csv` file, read into memory as
        float32 (float64, where that loses digits); or an array. `[time]` is one channel.
      window: steps of time an example.
      stride: steps between the beginnings of windows.
      test_fraction: the share of the time held out, in [0, 1).
      missing: whether NaN (in a `.csv` what `ae.data.csv` takes for a missing value) stands for a
        missing value, whose `observed` is False; else it is an error.
      columns: columns of a `.csv` that are channels; None: all.
      delimiter: delimiter of a `.csv`, see `ae.data.csv`.
      decimal: decimal mark of a `.csv`, see `ae.data.csv`.
      thousands: thousands mark of a `.csv`, see `ae.data.csv`.
      header: header of a `.csv`, see `ae.data.csv`.

    Returns:
      A Dataset of kind "series", which is standardised channel by channel.

    Raises:
      MissingFileError: there is no such file.
      UnknownNameError: a `.csv` has no column of a name; the nearest is named.
      ConfigError: a window or stride that is not a positive whole number, or what is of a `.csv`
        for an array.
      DataError: not a series, shorter than a window, or (from `read`) a missing value.
    """
    require_positive_ints(window=window, stride=stride)
    split_mask(0, test_fraction)
    values, channels, name = _values(path, columns, Dialect(delimiter, decimal, thousands, header))
    total = len(values)
    border = round(total * (1 - test_fraction))
    if border < window:
        raise DataError(
            f"{name} has {total} steps, {border} of them for training: shorter than a window of "
            f"{window}"
        )
    whole = Windows(values, 0, 0, window, stride, missing, channels, name)

    def part(first: int, end: int) -> Windows:
        count = max(0, (end - first - window) // stride + 1)
        return dataclasses.replace(whole, first=first, count=count)

    source = None if isinstance(path, np.ndarray) else f"series:{path}"
    return Dataset(
        part(0, border),
        part(border, total),
        source=source,
        kind="series",
        overlapping=stride < window,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """A source of windows of one array.

    Attributes:
      values: `[time, channels]`.
      first: the step at which the first window begins.
      count: how many windows there are.
      window: steps of each.
      stride: steps from one to the next.
      missing: whether NaN is a missing value.
      channels: their names; empty: none are known.
      name: name of the series, for messages.
    """

    values: ArrayFile | np.ndarray
    first: int
    count: int
    window: int
    stride: int
    missing: bool
    channels: tuple[str, ...]
    name: str

    @property
    def spec(self) -> Records:
        """See `Source`."""
        shape = (self.window, self.values.shape[1])
        observed = jax.ShapeDtypeStruct(shape, np.bool_) if self.missing else None
        return Records(jax.ShapeDtypeStruct(shape, self.values.dtype), observed=observed)

    def __len__(self) -> int:
        """How many windows there are."""
        return self.count

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        index = np.asarray(index)
        if ((index < 0) | (index >= self.count)).any():
            raise IndexError(f"there are {self.count} windows, got index {index}")
        step = self.first + index[:, None] * self.stride + np.arange(self.window)
        x = self.values[step]
        absent = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
        if self.missing:
            return Records(np.where(absent, np.zeros((), x.dtype), x), observed=~absent)
        if absent.any():
            row, within, channel = np.argwhere(absent)[0]
            called = f" ('{self.channels[channel]}')" if self.channels else ""
            raise DataError(
                f"{self.name} has no value at step {step[row, within]}, channel {channel}{called}; "
                "impute it, or missing=True masks such values"
            )
        return Records(x)


def _values(
    path: str | os.PathLike | np.ndarray, columns: Sequence[str] | None, dialect: Dialect
) -> tuple[ArrayFile | np.ndarray, tuple[str, ...], str]:
    """`[time, channels]`, the names of its channels, and its own for messages."""
    file = None if isinstance(path, np.ndarray) else pathlib.Path(path)
    if file is not None and file.suffix.lower() == ".csv":
        cells = read_csv(file, dialect)
        if isinstance(columns, str):
            raise ConfigError(f"columns must be a list of names, got {columns!r}: [{columns!r}]")
        names = tuple(cells.columns) if columns is None else tuple(columns)
        channels = [_channel(cells, name) for name in names]
        values = np.stack(channels, axis=1)
        return narrowest(values, ~np.isnan(values)), names, f"'{cells.file}'"
    if columns is not None:
        raise ConfigError(f"columns are those of a .csv file, got {columns!r}")
    if dialect != RECOGNISED:
        raise ConfigError("delimiter, decimal, thousands and header are those of a .csv file")
    if isinstance(path, np.ndarray):
        return _as_series(path, "the series"), (), "the series"
    if pathlib.Path(path).suffix.lower() != ".npy":
        raise ConfigError(f"a series is a .npy or .csv file, got '{os.fspath(path)}'")
    place = existing(path)
    return _as_series(mapped(place), f"'{place}'"), (), f"'{place}'"


def _as_series(values: ArrayFile | np.ndarray, name: str) -> ArrayFile | np.ndarray:
    shape = values.shape if len(values.shape) != 1 else (*values.shape, 1)
    if len(shape) != 2 or 0 in shape or values.dtype.kind not in "biuf":
        raise DataError(
            f"{name} must be numbers [time, channels], got {values.dtype} of shape {values.shape}"
        )
    if isinstance(values, ArrayFile):
        return dataclasses.replace(values, shape=shape)
    return values.reshape(shape)


def _channel(cells: Cells, name: str) -> np.ndarray:
    _, values = table.numbers(cells, name)
    return np.where([cell is None for cell in cells[name]], np.nan, values)
