"""Parquet files: tables, or a column of vectors."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.data import table
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split
from ae_jax.data.files import existing, require
from ae_jax.data.source import Arrays
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.registry import SOURCES

INSTALL = "'ae_jax[parquet]'"


@SOURCES.register
def parquet(
    path: str | os.PathLike,
    x: str | None = None,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    label: str | None = None,
    test_fraction: float = TEST_FRACTION,
) -> Dataset:
    """A Parquet file, read into memory at once: its rows cannot be reached one by one.

    Args:
      path: of the file.
      x: a column of equally long lists of numbers, which are the data `[n, k]`; all columns of
        plain numbers become extras. None: the file is a table as `ae.data.csv` reads it, with null
        for missing values.
      columns: of a table, see `ae.data.csv`.
      label: of a table, see `ae.data.csv`.
      test_fraction: the share held out by `ae.data.split_mask`.

    Returns:
      A Dataset.

    Raises:
      MissingFileError: there is no such file, or pyarrow is not installed.
      UnknownNameError: it has no column of a name; the nearest is named.
      ConfigError: x together with columns or label, or as for `ae.data.csv`.
      DataError: the file is truncated or no Parquet, or a column's values do not fit.
    """
    if x is not None and (columns is not None or label is not None):
        raise ConfigError("columns and label are of tables; with x, leave them out")
    file = existing(path)
    pq = require("pyarrow.parquet", "reading Parquet", INSTALL)
    try:
        loaded = pq.read_table(str(file))
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise DataError(f"'{file}' is not a whole Parquet file: {error}") from error
    read = {n: loaded[n] for n in loaded.column_names if not n.startswith("__index_level_")}
    if not loaded.num_rows:
        raise DataError(f"'{file}' has no rows")
    if x is None:
        wanted = read if columns is None else (*columns, *([label] if label else []))
        cells = {n: _cells(column, n, file) for n, column in read.items() if n in wanted}
        unread = {n: () for n in read if n not in cells}  # for the nearest name
        known = table.Cells({**cells, **unread}, str(file), lambda i: f"'{file}', row {i}")
        dataset = table.to_dataset(known, columns, label, test_fraction)
    else:
        dataset = Dataset(*split(_vectors(read, x, file), fraction=test_fraction))
    return dataset._replace(source=f"parquet:{path}")


def _cells(column: Any, name: str, file: os.PathLike) -> list[str | float | None]:
    values = column.to_pylist()
    first = next((value for value in values if value is not None), "")
    if not isinstance(first, str | int | float):
        raise DataError(
            f"'{file}', column '{name}' holds {column.type}; expected numbers or text: leave it "
            "out by naming the others in columns, or take it for x"
        )
    words = [str(v) if isinstance(v, bool) else v for v in values]
    return [None if v != v else v for v in words]  # NaN differs from itself


def _vectors(read: Mapping[str, Any], name: str, file: os.PathLike) -> Arrays:
    if name not in read:
        raise UnknownNameError(f"'{file}' has no column '{name}'{nearest(name, read)}")
    compute = require("pyarrow.compute", "reading Parquet", INSTALL)
    column = read[name]
    if "list" not in str(column.type) or not hasattr(column.type, "value_type"):
        raise DataError(f"'{file}', column '{name}': expected lists of numbers, got {column.type}")
    lengths = np.asarray(compute.list_value_length(column).fill_null(-1))
    other = np.flatnonzero(lengths != lengths[0])
    if len(other):
        i = other[0]
        raise DataError(
            f"'{file}', row {i}, column '{name}': expected {lengths[0]} numbers as in row 0, got "
            f"{'null' if lengths[i] < 0 else lengths[i]}"
        )
    values = np.asarray(compute.list_flatten(column)).reshape(len(column), -1)
    whole = {key: np.asarray(c) for key, c in read.items() if key != name and not c.null_count}
    extras = {key: plain for key, plain in whole.items() if plain.dtype.kind in "biuf"}
    return Arrays(values, extras)
