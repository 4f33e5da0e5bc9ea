"""What metrics on plain arrays check before they compute anything."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.checks import require_positive_ints
from ae_jax.data import conditions
from ae_jax.errors import DataError, ShapeError, nearest


def rows(name: str, values: Any) -> np.ndarray:
    """Values `[n, …]` as finite float64 `[n, d]`.

    Raises:
      ShapeError: it is not `[n, …]`.
      DataError: it is empty, or a value is not finite.
    """
    array = np.asarray(values)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise ShapeError(
            f"{name} must be numbers [n, d], got shape {array.shape} of dtype {array.dtype}"
        )
    if not array.size:
        raise DataError(f"{name} are empty: shape {array.shape}")
    array = array.reshape(len(array), -1).astype(np.float64)
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = map(int, np.argwhere(bad)[0])
        raise DataError(
            f"{name} hold {int(bad.sum())} value(s) that are not finite, the first "
            f"{array[row, column]} at ({row}, {column}); leave out the examples that have them"
        )
    return array


def same_width(**named: Any) -> list[np.ndarray]:
    """Several sets of rows, by name, of one and the same width; see `rows`.

    Raises:
      ShapeError: two widths differ.
    """
    arrays = {name: rows(name, values) for name, values in named.items()}
    if len({array.shape[1] for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ShapeError(f"all must have as many columns, got {shapes}")
    return list(arrays.values())


def as_many(**named: Any) -> None:
    """Raises ShapeError unless all of these have as many rows, by their names."""
    if len({len(values) for values in named.values()}) > 1:
        counts = ", ".join(f"{name} {len(values)}" for name, values in named.items())
        raise ShapeError(f"all must have as many rows, got {counts}")


def require_neighbours(k: int, most: int, of: str) -> None:
    """Raises unless there are k neighbours.

    Args:
      k: how many are asked for.
      most: how many there can be.
      of: what there are too few of, for the message.
    """
    require_positive_ints(neighbours=k)
    if k > most:
        raise DataError(
            f"{k} neighbours need more {of}: there are enough for {most}"
            + (f" (neighbours={most})" if most > 0 else "")
        )


def labels_of(extras: Mapping[str, Any], label: str, what: str) -> np.ndarray:
    """The label of each example `[n]`; -1 says that it has none.

    Raises:
      DataError: there is no entry of this name, or it is not one whole number an example.
    """
    if label not in extras:
        hint = nearest(label, extras)
        raise DataError(f"{what} have no label '{label}'{hint} Give it as extras={{'{label}': …}}")
    values = np.asarray(extras[label])
    if values.ndim != 1 or values.dtype.kind not in "biu":
        raise DataError(
            f"the label '{label}' must be one whole number an example, got shape {values.shape} "
            f"of dtype {values.dtype}"
        )
    return values.astype(np.int64)


def require_classes(labels: np.ndarray, what: str) -> None:
    """Raises DataError unless there are two classes or more."""
    classes = np.unique(labels)
    if len(classes) < 2:
        held = f"only {classes[0]}" if len(classes) else "none"
        raise DataError(f"{what} must hold two classes at least to tell apart, and hold {held}")


def chosen_label(fields: Sequence[Mapping[str, Any]], label: str | None, what: str) -> str | None:
    """The label that examples are judged by; None: there is none to be had.

    Args:
      fields: the extras of each split.
      label: asked for; None: "label", if all splits have it and the first two classes of it.
      what: the data are, for messages.

    Raises:
      DataError: the label that is asked for is not there, or of one class only.
    """
    if label is not None:
        labels = [labels_of(extras, label, what) for extras in fields]
        require_classes(labels[0][labels[0] >= 0], f"the labels '{label}' of the training split")
        return label
    if not all("label" in extras for extras in fields):
        return None
    try:
        return chosen_label(fields, "label", what)
    except DataError:  # not of whole numbers, or of one class: no label to be judged by
        return None


def with_factors(codes: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes, float64 `[n, d]`, and factors, int64 `[n, f]`.

    Raises:
      ShapeError: factors that are not whole numbers `[n, f]` or `[n]`, or not as many as codes.
      DataError: a factor that does not vary, or codes that are not finite.
    """
    codes, factors = rows("codes", codes), np.asarray(factors)
    factors = factors[:, None] if factors.ndim == 1 else factors
    if factors.ndim != 2 or factors.dtype.kind not in "biu":
        raise ShapeError(
            f"factors must be whole numbers [n, f], got shape {factors.shape} of dtype "
            f"{factors.dtype}; cut continuous ones into bins"
        )
    as_many(codes=codes, factors=factors)
    for j, factor in enumerate(factors.T):
        if (factor == factor[0]).all():
            raise DataError(f"factor {j} is {factor[0]} throughout and tells nothing: leave it out")
    return codes, factors.astype(np.int64)


def probe() -> Any:
    """The linear classifier that codes are read by, not fitted: scikit-learn's, L2 of weight 1."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def is_told(run: Any, label: str) -> bool:
    """Whether the encoder of a run sees this entry of `extras`, as a conditional one does."""
    told = conditions.of_model(run.model)
    return any(condition.part == "encoder" and condition.name == label for condition in told)
