"""Parquet files: tables, or a column of vectors."""

import decimal
import logging
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split
from ae_jax.data.intake import fits_device
from ae_jax.data.source import Arrays
from ae_jax.data.sources import table
from ae_jax.data.sources.cells import Cells
from ae_jax.data.sources.files import existing_file, require
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest

log = logging.getLogger("ae_jax")
INSTALL = "'ae_jax[parquet]'"


@SOURCES.register
def parquet(
    path: str | os.PathLike,
    x: str | None = None,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    label: str | None = None,
    test_fraction: float = TEST_FRACTION,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    missing: Sequence[str] | str = (),
) -> Dataset:
    """A Parquet file, read into memory at once: its rows cannot be reached one by one.

    Args:
      path: path of the file.
      x: a column of equally long lists of numbers, which are the data `[n, k]`, null among them
        missing; all columns of plain numbers without null, and without integers beyond 32 bits,
        become extras. None: the file is a table as `ae.data.csv` reads it, with null and NaN for
        missing values and without pandas' index.
      columns: columns of a table, see `ae.data.csv`.
      label: label of a table, see `ae.data.csv`.
      test_fraction: the share held out by `ae.data.split_mask`.
      kinds: kinds of some columns of a table, see `ae.data.csv`.
      drop: columns of a table that are left out.
      missing: words of a table that stand for missing values too.

    Returns:
      A Dataset.

    Raises:
      MissingFileError: there is no such file, or pyarrow is not installed.
      UnknownNameError: it has no column of a name; the nearest is named.
      ConfigError: x together with what is of tables, or as for `ae.data.csv`.
      DataError: the file is truncated or no Parquet, or a column's values do not fit.
    """
    if x is not None and (columns is not None or label is not None or kinds or drop or missing):
        raise ConfigError(
            "columns and label are of tables, and so are kinds, drop and missing; with x, leave "
            "them out"
        )
    file = existing_file(path)
    read = _columns(file)
    if x is None:
        wanted = read if columns is None else (*columns, *([label] if label else []))
        absent = {missing} if isinstance(missing, str) else set(missing)
        cells = {
            n: _cells(column, n, file, absent)
            for n, column in read.items()
            if n in wanted and n not in drop
        }
        unread = {n: () for n in read if n not in cells}  # for the nearest name
        known = Cells({**cells, **unread}, str(file), lambda i: f"row {i}")
        dataset = table.to_dataset(known, columns, label, test_fraction, kinds, drop)
    else:
        dataset = Dataset(*split(_vectors(read, x, file), fraction=test_fraction))
    return dataset._replace(source=f"parquet:{path}")


def _columns(file: pathlib.Path) -> dict[str, Any]:
    """By name, without pandas' index."""
    pq = require("pyarrow.parquet", "reading Parquet", INSTALL)
    try:
        names = pq.read_schema(str(file)).names
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise DataError(f"'{file}' has {names.count(twice[0])} columns called '{twice[0]}'")
        loaded = pq.read_table(str(file))
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        said = str(error).partition("\n")[0]
        raise DataError(f"'{file}' is not a whole Parquet file: {said}") from error
    if not loaded.num_rows:
        raise DataError(f"'{file}' has no rows")
    return {n: loaded[n] for n in names if not n.startswith("__index_level_")}


def _cells(column: Any, name: str, file: os.PathLike, absent: set[str]) -> list[str | float | None]:
    values = column.to_pylist()
    first = next((value for value in values if value is not None), "")
    if not isinstance(first, str | int | float | decimal.Decimal):
        raise DataError(
            f"'{file}', column '{name}' holds {column.type}; expected numbers or text: write it as "
            f"numbers, leave it out, drop=['{name}'], or, if it holds vectors, take it for x"
        )
    words = [str(v) if isinstance(v, bool) else v for v in values]
    return [None if v != v or v in absent else v for v in words]  # NaN differs from itself


def _vectors(read: Mapping[str, Any], name: str, file: os.PathLike) -> Arrays:
    if name not in read:
        raise UnknownNameError(f"'{file}' has no column '{name}'{nearest(name, read)}")
    compute = require("pyarrow.compute", "reading Parquet", INSTALL)
    column, kind = read[name], getattr(read[name].type, "value_type", None)
    if "list" not in str(column.type) or kind is None or not _is_plain(kind):
        raise DataError(f"'{file}', column '{name}': expected lists of numbers, got {column.type}")
    lengths = np.asarray(compute.list_value_length(column).fill_null(-1))
    wanted = next((length for length in lengths if length > 0), 1)
    other = np.flatnonzero(lengths != wanted)
    if len(other):
        i = other[0]
        first = np.flatnonzero(lengths == wanted)
        as_in = f" as in row {first[0]}" if len(first) else ""
        raise DataError(
            f"'{file}', row {i}, column '{name}': expected {wanted} numbers{as_in}, got "
            f"{'null' if lengths[i] < 0 else lengths[i]}"
        )
    flat = compute.list_flatten(column)
    observed = np.asarray(flat.is_valid()).reshape(len(column), -1) if flat.null_count else None
    empty = False if str(kind) == "bool" else 0
    values = np.asarray(flat.fill_null(empty) if flat.null_count else flat)
    extras = {}
    for key, other_column in read.items():
        if key == name or not _is_plain(other_column.type):
            continue
        if other_column.null_count:
            log.warning("'%s', column '%s' has nulls: it does not become an extra", file, key)
        elif fits_device(plain := np.asarray(other_column)):
            extras[key] = plain
        else:
            log.warning("'%s', column '%s' exceeds 32 bits: it does not become an extra", file, key)
    return Arrays(values.reshape(len(column), -1), extras, observed)


def _is_plain(kind: Any) -> bool:
    """Whether NumPy has numbers of an Arrow type."""
    return re.fullmatch(r"bool|u?int\d+|halffloat|float|double", str(kind)) is not None
