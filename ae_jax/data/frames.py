"""Tables with named columns, as pandas and polars make them, read without importing either."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ae_jax.data.numbers import as_numbers
from ae_jax.errors import DataError, nearest
from ae_jax.types import Column


def is_frame(data: Any) -> bool:
    """Whether something has named columns: pandas' and polars' DataFrame and what is like them."""
    return all(hasattr(data, name) for name in ("columns", "dtypes", "__getitem__", "shape"))


def read(
    frame: Any, columns: Sequence[Column] | None = None, what: str = "data"
) -> tuple[np.ndarray, np.ndarray | None, tuple[Column, ...]]:
    """The numbers of a table.

    Args:
      frame: frame of numeric columns; NA of pandas' nullable types is missing.
      columns: those of the training data; words of a column that is a category there become its
        codes.
      what: the data are, for messages.

    Returns:
      x `[n, columns]`, where it is missing, and its columns in the table's order.

    Raises:
      DataError: a column that holds no numbers, a word that is no category, or two columns of one
        name; column, dtype and value are named.
    """
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"the {what} have several columns called '{twice[0]}'; rename them")
    known = {column.name: column for column in columns or () if column.categories}
    read = [
        _column(frame[key], name, known.get(name), what)
        for key, name in zip(frame.columns, names, strict=True)
    ]
    if not read:
        return np.zeros(tuple(frame.shape)), None, ()
    x = np.stack([values for values, _, _ in read], axis=1)
    missing = np.stack([absent for _, absent, _ in read], axis=1)
    return x, missing if missing.any() else None, tuple(column for _, _, column in read)


def reordered(frame: Any, names: Sequence[str]) -> np.ndarray:
    """The columns of these names as an array; raises DataError for one that is not there."""
    by_name = {str(key): key for key in frame.columns}
    for name in names:
        if name not in by_name:
            raise DataError(f"observed has no column '{name}'{nearest(name, by_name)}")
    return np.stack([np.asarray(frame[by_name[name]]) for name in names], axis=1)


def _column(
    series: Any, name: str, known: Column | None, what: str
) -> tuple[np.ndarray, np.ndarray, Column]:
    values = np.asarray(series)
    missing = np.zeros(len(values), bool)
    if values.dtype == object and hasattr(series, "isna"):
        missing = np.asarray(series.isna(), bool)
        values = np.where(missing, 0, values)
    if known is not None:
        return _codes(values, missing, known, what), missing, known
    try:
        numbers = as_numbers(values)
    except DataError:
        numbers = values
    if numbers.dtype.kind not in "biuf":
        dtype = getattr(series, "dtype", values.dtype)
        shown = f", e.g. {str(values[~missing][0])!r:.50}" if not missing.all() else ""
        raise DataError(
            f"column '{name}' of the {what} has dtype {dtype}{shown}, but numbers are needed: "
            "leave it out or number its values; mixed columns are read from a file, "
            "ae.data.load('csv:table.csv')"
        )
    return numbers, missing, Column(name, "number")


def _codes(values: np.ndarray, missing: np.ndarray, column: Column, what: str) -> np.ndarray:
    code = {word: i for i, word in enumerate(column.categories)}
    for row in np.flatnonzero(~missing):
        if str(values[row]) not in code:
            raise DataError(
                f"column '{column.name}' of the {what} holds {str(values[row])!r:.50} in row "
                f"{row}, which is none of the training data's categories"
                f"{nearest(values[row], column.categories)}"
            )
    return np.array([code.get(str(word), 0) for word in values])
