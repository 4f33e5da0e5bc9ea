"""Columns brought into the order, and codes into the numbering, that a run was trained on."""

from collections.abc import Sequence

import numpy as np

from ae_jax.data.source import Arrays, Source, in_memory
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
      part: of rows `[n, columns]`; without names of its own it is taken for right.
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
    found = getattr(part, "columns", None)
    if found is None or not wanted or tuple(found) == tuple(wanted):
        return part
    part = in_memory(part)
    place = {column.name: i for i, column in enumerate(found)}
    _check_names(list(place), [column.name for column in wanted], what)
    order = [place[column.name] for column in wanted]
    x = np.array(part.x[:, order])
    observed = None if part.observed is None else part.observed[:, order]
    for i, column in enumerate(wanted):
        seen = np.ones(len(x), bool) if observed is None else observed[:, i]
        x[:, i] = _recoded(x[:, i], seen, found[order[i]], column, what)
    return Arrays(x, part.extras, observed, part.valid, tuple(wanted))


def _check_names(found: list[str], wanted: list[str], what: str) -> None:
    missing = [name for name in wanted if name not in found]
    more = [name for name in found if name not in wanted]
    if missing or more:
        lacks = f"lack the column(s) {', '.join(map(repr, missing))}" if missing else ""
        has = f"have the unknown column(s) {', '.join(map(repr, more))}" if more else ""
        close = nearest(missing[0], more) if missing and more else ""
        raise DataError(
            f"the {what} {' and '.join(filter(None, (lacks, has)))} of the training data's "
            f"{', '.join(map(repr, wanted))}{close}"
        )


def _recoded(
    values: np.ndarray, seen: np.ndarray, found: Column, wanted: Column, what: str
) -> np.ndarray:
    if found.kind != wanted.kind and (found.kind, wanted.kind) not in WHOLE:
        raise DataError(
            f"column '{wanted.name}' of the {what} is a {found.kind}, but a {wanted.kind} in "
            "training; declare its kind, columns={…}"
        )
    if found.categories == wanted.categories:
        return values
    code = {word: i for i, word in enumerate(wanted.categories)}
    for word_code in np.unique(values[seen]).astype(int):
        word = found.categories[word_code]
        if word not in code:
            raise DataError(
                f"column '{wanted.name}' of the {what} holds {word!r}, which is none of the "
                f"training data's categories{nearest(word, wanted.categories)}"
            )
    table = np.array([code.get(word, 0) for word in found.categories], values.dtype)
    return np.where(seen, table[np.where(seen, values, 0).astype(int)], 0)
