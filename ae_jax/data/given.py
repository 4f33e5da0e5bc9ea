"""What users hand over, as arrays: whatever NumPy reads, masked arrays, tables of columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ae_jax.data import frames
from ae_jax.data.numbers import as_numbers
from ae_jax.data.source import Arrays
from ae_jax.errors import DataError
from ae_jax.types import Column

WORDS = (
    "{name} holds words such as {word!r}; number the classes, e.g. "
    "np.unique(labels, return_inverse=True)[1], and say how many there are, num_classes="
)


class Given(NamedTuple):
    """Examples as they were given.

    Attributes:
      x: `[n, *event]`, 0 where nothing is observed.
      observed: bool, of x's shape; None: everything is.
      columns: those of a table with names, from left to right; None: they have none.
    """

    x: np.ndarray
    observed: np.ndarray | None = None
    columns: tuple[Column, ...] | None = None


def take(
    data: Any, observed: Any = None, columns: Sequence[Column] | None = None, what: str = "data"
) -> Given:
    """The numbers of whatever holds them, and which of them are there.

    Args:
      data: an array of NumPy, JAX or anything else that NumPy reads, lists of numbers, a masked
        array, whose masked entries are missing, or a table with `columns` and `dtypes` as pandas
        and polars have them.
      observed: 0s and 1s, or booleans, of the data's shape: False where an entry is missing.
      columns: those of the training data, by which the words of a table's columns are coded.
      what: the data are, for messages.

    Returns:
      The Given; its x is not looked at where it is missing.

    Raises:
      DataError: no array of numbers, `observed` is no mask of them, or says that what is masked is
        observed.

    Example:
      >>> import numpy as np
      >>> take(np.ma.masked_invalid([[1.0, np.nan]])).observed.tolist()
      [[True, False]]
    """
    _refuse_what_is_no_array(data, what)
    named, masked = None, None
    if frames.is_frame(data):
        x, masked, named = frames.read(data, columns, what)
    else:
        x = _array(data, what)
    if isinstance(x, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(x)
        x = np.ma.getdata(x)
    if masked is not None and masked.any():
        x = np.where(masked, np.zeros((), x.dtype), x)
    else:
        masked = None
    x = _real(as_numbers(x), what)
    seen = None if observed is None else _mask(observed, x.shape, named)
    if seen is None:
        seen = None if masked is None else ~masked
    elif masked is not None:
        seen = _together(seen, masked)
    if observed is not None and seen is not None:
        x = np.where(seen, x, np.zeros((), x.dtype))
    return Given(x, seen, named)


def extras(values: Any, count: int, what: str = "training split") -> dict[str, np.ndarray]:
    """Labels, conditions and lengths as arrays of real numbers, one for each example.

    Args:
      values: arrays by name, each `[count, …]`; None: none.
      count: how many examples there are.
      what: holds the examples, for messages.

    Raises:
      DataError: they are no mapping, not numbers (of words, how to number them is said), partly
        masked, or not as many as the examples.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise DataError(
            "extras must be a mapping from names to arrays, e.g. {'label': y}, got "
            f"{type(values).__name__}"
        )
    fields = {name: _extra(name, value) for name, value in values.items()}
    check_fields(fields, count, what)
    return fields


def check_fields(fields: Mapping[str, Any], count: int, what: str) -> None:
    """Raises DataError unless every field holds as many real numbers as there are examples."""
    for name, value in fields.items():
        if np.ndim(value) == 0 or len(value) != count:
            size = "a single number" if np.ndim(value) == 0 else len(value)
            raise DataError(f"the {what} has {count} examples but {size} of '{name}'")
        if np.dtype(value.dtype).kind not in "biuf":
            raise DataError(f"extras['{name}'] must be real numbers, got dtype {value.dtype}")


def check_arrays(part: Arrays, split: str) -> None:
    """Raises DataError where the fields of a split do not belong together."""
    check_fields(part.extras, len(part), f"{split} split")
    wanted = {"observed": part.x.shape, "valid": part.x.shape[:1]}
    for name, shape in wanted.items():
        mask = getattr(part, name)
        if mask is None:
            continue
        if mask.shape != shape or mask.dtype != np.bool_:
            raise DataError(
                f"`{name}` of the {split} split must be bool {shape}, got {mask.dtype} {mask.shape}"
            )
        if len(part) and not mask.any():
            raise DataError(f"nothing of the {split} split is {name}: all of its mask is False")


def _refuse_what_is_no_array(data: Any, what: str) -> None:
    wanted = f"{what} must be an array [n, *event] of numbers, got"
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        raise DataError(
            f"{wanted} a sparse {type(data).__name__} of shape {data.shape} and dtype "
            f"{data.dtype}: pass x.toarray()"
        )
    if isinstance(data, Mapping):
        raise DataError(
            f"{wanted} a {type(data).__name__} of {', '.join(map(repr, data))}: pass one of its "
            "arrays, and labels or conditions as extras={…}"
        )
    if isinstance(data, Iterator):
        raise DataError(
            f"{wanted} a {type(data).__name__}, which can be gone through once: np.stack(list(…))"
        )
    if isinstance(data, set | frozenset | str | bytes):
        raise DataError(f"{wanted} {data!r:.100}")


def _array(data: Any, what: str) -> np.ndarray:
    wanted = f"{what} must be an array [n, *event] of numbers"
    try:
        x = _stacked(data) if _holds_masked(data) else np.asanyarray(data)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of several lengths, tensors
        raise DataError(f"{wanted}: {str(error).splitlines()[0]}") from error
    if x.ndim == 0:
        raise DataError(f"{wanted}, got {' '.join(repr(data).split()):.100}")
    return x if isinstance(x, np.memmap | np.ma.MaskedArray) else np.asarray(x)


def _holds_masked(data: Any) -> bool:
    """Whether lists, of which NumPy would drop the masks, hold masked arrays or entries."""
    if isinstance(data, list | tuple):
        return any(_holds_masked(item) for item in data)
    return isinstance(data, np.ma.MaskedArray) and not isinstance(data, np.memmap)


def _stacked(data: Any) -> Any:
    """Lists of masked arrays as one, with the masks."""
    return (
        np.ma.stack([_stacked(item) for item in data])
        if isinstance(data, list | tuple)
        else (np.ma.asanyarray(data))
    )


def _real(x: np.ndarray, what: str) -> np.ndarray:
    if x.dtype.kind in "US" and x.size:
        raise DataError(
            f"the {what} must be real numbers, got dtype {x.dtype}, e.g. {str(x.flat[0])!r:.50}"
        )
    return x


def _mask(observed: Any, shape: tuple[int, ...], columns: Any) -> np.ndarray:
    if columns is not None and frames.is_frame(observed):
        observed = frames.reordered(observed, [column.name for column in columns])
    elif frames.is_frame(observed):
        observed = np.stack([np.asarray(observed[name]) for name in observed.columns], axis=1)
    mask = np.asanyarray(observed)
    if isinstance(mask, np.ma.MaskedArray):
        mask = mask.filled(False)  # what masked numbers say of themselves
    if mask.shape != shape:
        raise DataError(f"observed has shape {mask.shape}, the data {shape}")
    if mask.dtype == np.bool_:
        return mask
    wrong = ~np.isin(mask, (0, 1)) if mask.dtype.kind in "iuf" else np.ones(shape, bool)
    if wrong.any():
        place = _first(wrong)
        raise DataError(
            f"observed must hold booleans, or 0 and 1, got {mask[place]!r:.50} at {place}"
        )
    return mask.astype(bool)


def _together(seen: np.ndarray, masked: np.ndarray) -> np.ndarray:
    torn = seen & masked
    if torn.any():
        raise DataError(
            f"observed is True at {_first(torn)}, where the data are masked: leave observed out, "
            "or fill what is masked, x.filled(…)"
        )
    return seen


def _extra(name: str, value: Any) -> np.ndarray:
    called = f"extras['{name}']"
    try:
        array = _stacked(value) if _holds_masked(value) else np.asanyarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{called} must be an array: {str(error).splitlines()[0]}") from error
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.getmaskarray(array).any():
            place = _first(np.ma.getmaskarray(array))
            raise DataError(
                f"{called} is masked at {place}: fill it; a label of -1 stands for none, "
                "y.filled(-1)"
            )
        array = np.ma.getdata(array)
    items = array.flat if array.dtype.kind in "OUS" else ()
    word = next((item for item in items if isinstance(item, str | bytes)), None)
    if word is not None:
        raise DataError(WORDS.format(name=called, word=str(word)[:50]))
    try:
        return as_numbers(array)
    except DataError as error:
        raise DataError(f"{called}: {error}") from error


def _first(places: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(places)[0])
