"""From the cells of a table to numbers: kinds of columns, codes of categories, missing values."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ae_jax.data.dataset import Dataset, split
from ae_jax.data.facts import SHARE, narrowest
from ae_jax.data.source import Arrays
from ae_jax.data.sources.cells import Cells, infer
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.types import Column

LARGEST = float(np.finfo(np.float32).max)
WHOLE = 2.0**53
"""Up to here float64 holds every whole number."""
MAX_INFERRED = 1000
"""A column of words with more distinct ones is not taken for a category unless declared one."""
FEW = 20
"""Nor one with more than these where over half of its rows differ: names, numbers with units."""


def to_dataset(
    cells: Cells,
    columns: Mapping[str, str] | Sequence[str] | None,
    label: str | None,
    test_fraction: float,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
) -> Dataset:
    """A Dataset of kind "table", `[n, columns]`, float32 if that holds it; see `ae.data.csv`."""
    names = chosen(cells, columns, label, drop)
    if isinstance(columns, Mapping):
        if kinds:
            raise ConfigError(f"columns give kinds already; leave out kinds={dict(kinds)}")
        kinds = columns
    kinds = dict(kinds or {})
    for name in kinds:
        if name not in (*names, label):
            _ = cells[name]  # which may not be there at all
            raise ConfigError(
                f"kinds names '{name}', which is neither among the columns of x nor the label"
            )
    coded = [_coded(cells, name, kinds.get(name)) for name in names]
    observed = np.stack([seen for _, _, seen in coded], axis=1)
    x = narrowest(np.stack([values for _, values, _ in coded], axis=1), observed)
    extras = {} if label is None else {"label": _label(cells, label, kinds.get(label))}
    whole = Arrays(x, extras, None if observed.all() else observed)
    described = tuple(column for column, _, _ in coded)
    return Dataset(*split(whole, fraction=test_fraction), kind="table", columns=described)


def chosen(
    cells: Cells,
    columns: Mapping[str, str] | Sequence[str] | None,
    label: str | None = None,
    drop: Sequence[str] = (),
) -> list[str]:
    """The names of the columns that make up x, in the file's order.

    Raises:
      UnknownNameError: there is no column of a name; the nearest is named.
      ConfigError: the label, or a dropped column, is also among the columns, or none is left.
    """
    for argument, value in (("columns", columns), ("drop", drop)):
        if isinstance(value, str):
            raise ConfigError(f"{argument} must be a list of names, got {value!r}: [{value!r}]")
    for name in (*(columns or ()), *drop, *([label] if label else [])):
        _ = cells[name]
    if label is not None and label in (columns or ()):
        raise ConfigError(
            f"'{label}' is the label and among columns: it would leak into x; name it once"
        )
    twice = [name for name in drop if name in (columns or ()) or name == label]
    if twice:
        raise ConfigError(f"'{twice[0]}' is dropped and among columns or the label; name it once")
    wanted = cells.columns if columns is None else columns
    names = [n for n in cells.columns if n in wanted and n != label and n not in drop]
    if not names:
        raise ConfigError(f"'{cells.file}' has no columns left for x")
    return names


def _coded(cells: Cells, name: str, kind: str | None) -> tuple[Column, np.ndarray, np.ndarray]:
    """The column, its values as float64 with 0 for missing ones, and which are observed."""
    inferred = kind is None
    seen = np.array([cell is not None for cell in cells[name]])
    if not seen.any():
        raise DataError(
            f"'{cells.file}', column '{name}' has no values; leave it out, drop=['{name}']"
        )
    kind = checked_kind(name, infer(cells, name) if kind is None else kind)
    categories, values = KINDS[kind](cells, name)
    different, rows = len(categories), int(seen.sum())
    if inferred and different > min(MAX_INFERRED, max(FEW, rows // 2)):
        raise DataError(
            f"'{cells.file}', column '{name}' has {different} different words in {rows} rows: "
            f"leave it out, drop=['{name}'], or declare it, kinds={{'{name}': 'category'}}"
        )
    return Column(name, kind, categories), values.astype(np.float64), seen


def numbers(cells: Cells, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """No categories, and the column as float64 with 0 for missing values.

    Raises:
      DataError: a value that is no finite number in float32, or a whole one that float64 does not
        hold to `facts.SHARE` of the column's deviation; where it stands is named.
    """
    values, lost = np.zeros(len(cells[name])), {}
    for row, cell in enumerate(cells[name]):
        value = 0.0 if cell is None else cells.notation.number(cell)
        if value is None or not abs(value) <= LARGEST:
            raise _wrong(cells, name, row, "a finite number")
        if abs(value) > WHOLE and (exact := _whole(cell)) is not None and exact != int(value):
            lost[row] = abs(exact - int(value))
        values[row] = value
    seen = values[[cell is not None for cell in cells[name]]]
    if lost and lost[row := max(lost, key=lost.__getitem__)] > SHARE * seen.std():
        raise _wrong(cells, name, row, f"digits that float64 holds ({values[row]:.0f} is nearest)")
    return (), values


def _whole(cell: str | float | None) -> int | None:
    try:
        return int(cell or 0)
    except ValueError:
        return None


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


def checked_kind(name: str, kind: str) -> str:
    """The kind, or UnknownNameError with the nearest."""
    if kind not in KINDS:
        raise UnknownNameError(f"column '{name}': no kind is called '{kind}'{nearest(kind, KINDS)}")
    return kind


def _label(cells: Cells, name: str, kind: str | None) -> np.ndarray:
    column = cells[name]
    missing = [row for row, cell in enumerate(column) if cell is None]
    if missing:
        raise DataError(f"{cells.place(missing[0])}: the label '{name}' is missing")
    categories, values = KINDS[checked_kind(name, kind or infer(cells, name))](cells, name)
    if (values != np.round(values)).any():
        return values.astype(np.float32)
    short = len(categories) > 0 or np.abs(values).max() < 2**31
    return values.astype(np.int32 if short else np.int64)


def _wrong(cells: Cells, name: str, row: int, expected: str) -> DataError:
    cell = cells[name][row]
    fix = f"; if it stands for a missing value, add it to missing=[{cell!r}, …]"
    return DataError(
        f"{cells.place(row)}, column '{name}': expected {expected}, got {cell!r}"
        f"{fix if isinstance(cell, str) or math.isnan(cell or 0) else ''}"
    )
