"""What a data set says of its values, held against what there is."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.types import Column, Spec


def _binary(x: np.ndarray, spec: Spec) -> tuple[np.ndarray, str]:
    del spec
    return (x != 0) & (x != 1), "0 or 1"


def _count(x: np.ndarray, spec: Spec) -> tuple[np.ndarray, str]:
    del spec
    return (x < 0) | (x != np.floor(x)), "a count 0, 1, 2, …"


def _tokens(x: np.ndarray, spec: Spec) -> tuple[np.ndarray, str]:
    wrong = (x < 0) | (x != np.floor(x)) | (x >= (spec.num_classes or 0))
    return wrong, f"a token 0 … {(spec.num_classes or 0) - 1}, num_classes={spec.num_classes}"


def _table(x: np.ndarray, spec: Spec) -> tuple[np.ndarray, str]:
    wrong = np.zeros(x.shape, bool)
    for i, column in enumerate(spec.columns or ()):
        if column.kind != "number":
            whole = (x[:, i] >= 0) & (x[:, i] == np.floor(x[:, i]))
            ends = len(column.categories) if column.categories else np.inf
            wrong[:, i] = ~whole | (x[:, i] >= ends)
    return wrong, "a whole number from 0, below the number of categories of its column"


def anything(x: np.ndarray, spec: Spec) -> tuple[np.ndarray, str]:
    """No value is wrong."""
    del spec
    return np.zeros((), bool), "a number"


VALUES: dict[str, Callable[[np.ndarray, Spec], tuple[np.ndarray, str]]] = {
    "binary": _binary,
    "real": anything,
    "series": anything,
    "count": _count,
    "tokens": _tokens,
    "table": _table,
}
"""For each kind which preprocessed values, `[b, *event]`, cannot be, and what they must be."""

COLUMN_KINDS = ("number", "category", "count")


def require_kind(kind: Any, what: str = "kind") -> None:
    """Raises UnknownNameError unless it is a kind of data; the nearest is named."""
    if kind not in VALUES:
        raise UnknownNameError(f"{what} cannot be {kind!r}{nearest(kind, VALUES)}")


def check_kind(
    kind: Any, num_classes: Any, columns: Sequence[Column] | None, shape: tuple[int, ...]
) -> None:
    """Raises unless these can be said of examples of this shape.

    Args:
      kind: a key of `VALUES`; None: to be seen from the data.
      num_classes: number of classes of tokens, and of nothing else.
      columns: columns of examples `[columns]`.
      shape: shape of one example, in the data's own units.

    Raises:
      UnknownNameError: there is no such kind, of examples or of a column; the nearest is named.
      ConfigError: a number of classes or columns that does not go with it.
    """
    if kind is not None:
        require_kind(kind)
    if kind == "tokens":
        if num_classes is None:
            raise ConfigError("kind='tokens' needs num_classes, how many tokens there may be")
        require_positive_ints(num_classes=num_classes)
    elif num_classes is not None:
        raise ConfigError(f"num_classes={num_classes!r} is of kind='tokens', got kind={kind!r}")
    if kind == "table" and not columns:
        raise ConfigError("kind='table' needs columns, a Column for each from left to right")
    if columns is not None:
        _check_columns(columns, shape)


def _check_columns(columns: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(columns, list | tuple) or not all(isinstance(c, Column) for c in columns):
        raise ConfigError(f"columns must be a row of Columns, got {columns!r:.100}")
    if tuple(shape) != (len(columns),):
        raise ConfigError(f"there are {len(columns)} columns, but examples of shape {tuple(shape)}")
    for column in columns:
        if column.kind not in COLUMN_KINDS:
            known = nearest(column.kind, COLUMN_KINDS)
            raise UnknownNameError(f"column '{column.name}': kind cannot be {column.kind!r}{known}")
        if (column.kind == "category") != bool(column.categories):
            raise ConfigError(
                f"column '{column.name}' of kind '{column.kind}' has {len(column.categories)} "
                "categories; a category has some, a number or count none"
            )


def check_values(
    x: np.ndarray, spec: Spec, what: str, first: int | None = 0, valid: Any = None, raw: Any = None
) -> None:
    """Raises DataError for the first preprocessed value that its kind does not allow.

    Args:
      x: `[b, *event]`, 0 where nothing is observed.
      spec: spec of one example.
      what: the data are, for the message.
      first: the place of the first example in its split; None: they are a sample.
      valid: bool `[b]`, False for records that could not be read; None: all could.
      raw: the examples before preprocessing, for the message.

    Example:
      >>> check_values(np.array([[0.0, 2.0]]), Spec((2,), "count"), "training")
    """
    wrong, expected = VALUES[spec.kind](x, spec)
    if valid is not None:
        wrong = wrong & np.asarray(valid).reshape(-1, *[1] * (x.ndim - 1))
    if not wrong.any():
        return
    row, *inside = (int(i) for i in np.argwhere(wrong)[0])
    value = f"{x[(row, *inside)]:g}"
    if raw is not None and np.shape(raw) == x.shape and raw[(row, *inside)] != x[(row, *inside)]:
        value = f"{raw[(row, *inside)]}, after preprocessing {value},"
    place = "in a sample" if first is None else f"at {(row + first, *inside)}"
    if spec.columns and inside:
        place += f", column '{spec.columns[inside[0]].name}'"
    raise DataError(
        f"the {what} data are declared to be of kind '{spec.kind}', but hold "
        f"{value} {place}; expected {expected}"
    )
