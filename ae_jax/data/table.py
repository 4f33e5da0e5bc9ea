"""From the cells of a table to numbers: kinds of columns, codes of categories, missing values."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.data.dataset import Dataset, split
from ae_jax.data.source import Arrays
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.types import Column

LARGEST = float(np.finfo(np.float32).max)
MAX_INFERRED = 1000
"""A column of words with more distinct ones is not taken for a category unless declared one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """A table as it was read.

    Attributes:
      columns: by name, from left to right, all of one length; None stands for a missing value.
      file: for messages.
      place: where row i stands, for messages.
    """

    columns: Mapping[str, Sequence[str | float | None]]
    file: str
    place: Callable[[int], str]

    def __getitem__(self, name: str) -> Sequence[str | float | None]:
        """The column of a name, or UnknownNameError with the nearest."""
        if name not in self.columns:
            hint = nearest(name, self.columns)
            raise UnknownNameError(f"'{self.file}' has no column '{name}'{hint}")
        return self.columns[name]


def to_dataset(
    cells: Cells,
    columns: Mapping[str, str] | Sequence[str] | None,
    label: str | None,
    test_fraction: float,
) -> Dataset:
    """A Dataset of kind "table", float32 `[n, columns]`; see `ae.data.csv`."""
    for name in (*(columns or ()), *([label] if label else [])):
        _ = cells[name]
    if label is not None and label in (columns or ()):
        raise ConfigError(
            f"'{label}' is the label and among columns: it would leak into x; name it once"
        )
    wanted = cells.columns if columns is None else columns
    names = [name for name in cells.columns if name in wanted and name != label]
    if not names:
        raise ConfigError(f"'{cells.file}' has no columns left for x")
    kinds = dict(columns) if isinstance(columns, Mapping) else {}
    coded = [_coded(cells, name, kinds.get(name)) for name in names]
    x = np.stack([values for _, values, _ in coded], axis=1)
    observed = np.stack([seen for _, _, seen in coded], axis=1)
    extras = {} if label is None else {"label": _label(cells, label)}
    whole = Arrays(x, extras, None if observed.all() else observed)
    described = tuple(column for column, _, _ in coded)
    return Dataset(*split(whole, fraction=test_fraction), kind="table", columns=described)


def _coded(cells: Cells, name: str, kind: str | None) -> tuple[Column, np.ndarray, np.ndarray]:
    """The column, its values as float32 with 0 for missing ones, and which are observed."""
    column, inferred = cells[name], kind is None
    seen = np.array([cell is not None for cell in column])
    if not seen.any():
        raise DataError(f"'{cells.file}', column '{name}' has no values")
    if kind is None:
        numeric = all(cell is None or as_number(cell) is not None for cell in column)
        kind = "number" if numeric else "category"
    if kind not in KINDS:
        raise UnknownNameError(f"column '{name}': no kind is called '{kind}'{nearest(kind, KINDS)}")
    categories, values = KINDS[kind](cells, name)
    if inferred and len(categories) > MAX_INFERRED:
        raise DataError(
            f"'{cells.file}', column '{name}' has {len(categories)} different words: leave it out "
            f"by naming the others in columns, or declare it: columns={{'{name}': 'category', …}}"
        )
    return Column(name, kind, categories), values.astype(np.float32), seen


def numbers(cells: Cells, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """No categories, and the column as float64 with 0 for missing values.

    Raises:
      DataError: a value that is no finite number in float32; where it stands is named.
    """
    values = np.zeros(len(cells[name]))
    for row, cell in enumerate(cells[name]):
        value = 0.0 if cell is None else as_number(cell)
        if value is None or not abs(value) <= LARGEST:
            raise _wrong(cells, name, row, "a finite number")
        values[row] = value
    return (), values


def _counts(cells: Cells, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    _, values = numbers(cells, name)
    wrong = (values < 0) | (values != np.round(values))
    if wrong.any():
        raise _wrong(cells, name, int(wrong.argmax()), "a count 0, 1, 2, …")
    return (), values


def _categories(cells: Cells, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    words = [None if cell is None else str(cell) for cell in cells[name]]
    known = sorted({word for word in words if word is not None})
    code = {word: i for i, word in enumerate(known)} | {None: 0}
    return tuple(known), np.array([code[word] for word in words])


KINDS: dict[str, Callable[[Cells, str], tuple[tuple[str, ...], np.ndarray]]] = {
    "number": numbers,
    "category": _categories,
    "count": _counts,
}


def _label(cells: Cells, name: str) -> np.ndarray:
    column = cells[name]
    missing = [row for row, cell in enumerate(column) if cell is None]
    if missing:
        raise DataError(f"{cells.place(missing[0])}: the label '{name}' is missing")
    if any(as_number(cell) is None for cell in column):
        return _categories(cells, name)[1].astype(np.int32)
    _, values = numbers(cells, name)
    whole = (values == np.round(values)).all() and np.abs(values).max() < 2**31
    return values.astype(np.int32 if whole else np.float32)


def as_number(cell: Any) -> float | None:
    """The number, not necessarily finite, that a cell stands for; None if it is none."""
    try:
        return None if isinstance(cell, str) and "_" in cell else float(cell)
    except ValueError:
        return None


def _wrong(cells: Cells, name: str, row: int, expected: str) -> DataError:
    cell = cells[name][row]
    fix = f"; if it stands for a missing value, add it to missing=[…, {cell!r}]"
    return DataError(
        f"{cells.place(row)}, column '{name}': expected {expected}, got {cell!r}"
        f"{fix if isinstance(cell, str) or math.isnan(cell or 0) else ''}"
    )
