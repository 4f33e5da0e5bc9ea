"""Columns brought into the order, and codes into the numbering, that a run was trained on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ae_jax.data.source import Arrays, Records, Source, Subset, in_memory
from ae_jax.errors import DataError, ShapeError, nearest
from ae_jax.types import Column

WHOLE = {("count", "number"), ("number", "count")}
"""Kinds, here and in training, that hold the same numbers."""


def require_shape(shape: Sequence[int], event: Sequence[int]) -> None:
    """Raises ShapeError unless a shape `[n, *event]` is that of several such examples."""
    if tuple(shape[1:]) != tuple(event):
        alone = "; one example is x[None]" if tuple(shape) == tuple(event) else ""
        raise ShapeError(
            f"examples must be [n, {', '.join(map(str, event))}], got {tuple(shape)}{alone}"
        )


def matched(part: Source, wanted: Sequence[Column] | None, what: str = "data") -> Source:
    """The examples with their columns as training had them, by name.

    Args:
      part: part of rows `[n, columns]`; without names of its own it is taken for right.
      wanted: the columns of the training data; None: they have no names.
      what: the examples are, for messages.

    Returns:
      `part` itself where nothing has to change.

    Raises:
      DataError: a column is missing, unknown or of another kind, or holds a category that training
        did not.

    Example:
      >>> import numpy as np
      >>> a, b = Column("a", "number"), Column("b", "number")
      >>> matched(Arrays(np.array([[1, 2]]), columns=(b, a)), (a, b)).x.tolist()
      [[2, 1]]
    """
    names = getattr(part, "columns", None)
    if names is None or not wanted or tuple(names) == tuple(wanted):
        return part
    part = in_memory(part)
    place = {column.name: i for i, column in enumerate(names)}
    _check_names(list(place), [column.name for column in wanted], what)
    order = [place[column.name] for column in wanted]
    x = np.array(part.x[:, order])
    observed = None if part.observed is None else part.observed[:, order]
    for i, column in enumerate(wanted):
        seen = np.ones(len(x), bool) if observed is None else observed[:, i]
        x[:, i] = _recoded(x[:, i], seen, names[order[i]], column, what)
    return Arrays(x, part.extras, observed, part.valid, tuple(wanted))


def _check_names(names: list[str], wanted: list[str], what: str) -> None:
    missing = [name for name in wanted if name not in names]
    more = [name for name in names if name not in wanted]
    if missing or more:
        lacks = f"lack the column(s) {', '.join(map(repr, missing))}" if missing else ""
        has = f"have the unknown column(s) {', '.join(map(repr, more))}" if more else ""
        close = nearest(missing[0], more) if missing and more else ""
        raise DataError(
            f"the {what} {' and '.join(filter(None, (lacks, has)))} of the training data's "
            f"{', '.join(map(repr, wanted))}{close}"
        )


def _recoded(
    values: np.ndarray, seen: np.ndarray, column: Column, wanted: Column, what: str
) -> np.ndarray:
    if column.kind != wanted.kind and (column.kind, wanted.kind) not in WHOLE:
        raise DataError(
            f"column '{wanted.name}' of the {what} is a {column.kind}, but a {wanted.kind} in "
            "training; declare its kind, columns={…}"
        )
    if column.categories == wanted.categories:
        return values
    code = {word: i for i, word in enumerate(wanted.categories)}
    for word_code in np.unique(values[seen]).astype(int):
        word = column.categories[word_code]
        if word not in code:
            raise DataError(
                f"column '{wanted.name}' of the {what} holds {word!r}, which is none of the "
                f"training data's categories{nearest(word, wanted.categories)}"
            )
    table = np.array([code.get(word, 0) for word in column.categories], values.dtype)
    return np.where(seen, table[np.where(seen, values, 0).astype(int)], 0)


def named(dataset: Any) -> Any:
    """The data set whose arrays know the names of their columns, to be matched by."""
    if dataset.columns is None:
        return dataset
    columns = tuple(dataset.columns)

    def with_names(part: Any) -> Any:
        if isinstance(part, Subset):
            return dataclasses.replace(part, whole=with_names(part.whole))
        return dataclasses.replace(part, columns=columns) if isinstance(part, Arrays) else part

    parts = {name: getattr(dataset, name) for name in ("train", "test", "validation")}
    bare = {
        n: p for n, p in parts.items() if p is not None and getattr(p, "columns", None) != columns
    }
    return dataset._replace(**{name: with_names(part) for name, part in bare.items()})


def check_alike(train: Records, other: Records, name: str) -> None:
    """Raises DataError where the fields of two splits cannot mean the same."""
    if train.x.dtype == np.uint8 and np.issubdtype(other.x.dtype, np.floating):
        raise DataError(
            f"training examples are uint8, from 0 to 255, {name} examples {other.x.dtype}: give "
            "both in the same units and dtype"
        )
    is_float = lambda leaf: bool(np.issubdtype(leaf.dtype, np.floating))
    for key in train.extras.keys() & other.extras.keys():
        wanted, given = train.extras[key], other.extras[key]
        if (wanted.shape, is_float(wanted)) != (given.shape, is_float(given)):
            raise DataError(
                f"extras['{key}'] is {wanted.dtype} {tuple(wanted.shape)} an example in training, "
                f"but {given.dtype} {tuple(given.shape)} in {name}"
            )
