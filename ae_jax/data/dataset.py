"""Data sets in memory, their fixed split, and the checks that come before any compilation."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ae_jax import keys
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.registry import SOURCES

TEST_FRACTION = 0.1


class Split(NamedTuple):
    """Examples in memory.

    Attributes:
      x: `[n, *event]`, in the data's own units and dtype.
      extras: labels and other fields, each `[n, …]`.
    """

    x: np.ndarray
    extras: Mapping[str, np.ndarray] = {}


class Dataset(NamedTuple):
    """A training and a test split of the same kind of example.

    Attributes:
      train: what is learned from.
      test: what is only evaluated; may be empty.
      source: what was loaded, for config.json; None for an array passed from memory.
      value_range: the smallest and largest value the data's units allow, where known.
    """

    train: Split
    test: Split
    source: str | None = None
    value_range: tuple[float, float] | None = None


SOURCES.part = Dataset


def split_mask(size: int, fraction: float) -> np.ndarray:
    """Which examples belong to the test split: those whose index hashes below the fraction.

    Fixed for all time and independent of the size, so that appended data never move an example from
    one split to the other.

    Args:
      size: how many examples there are.
      fraction: the share of the test split, in [0, 1).

    Returns:
      bool `[size]`, True for test.

    Raises:
      ConfigError: a fraction outside [0, 1).
    """
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction < 1:
        raise ConfigError(f"test_fraction must lie in [0, 1), got {fraction!r}")
    return keys.hash_index(np.arange(size, dtype=np.uint32)) < fraction * 2.0**32


def split(
    x: np.ndarray, extras: Mapping[str, np.ndarray] | None = None, fraction: float = TEST_FRACTION
) -> tuple[Split, Split]:
    """Train and test split of an array by `split_mask`."""
    test = split_mask(len(x), fraction)
    part = lambda mask: Split(x[mask], {k: np.asarray(v)[mask] for k, v in (extras or {}).items()})
    return part(~test), part(test)


def load(source: str, *, test_fraction: float | None = None) -> Dataset:
    """A data set by its config name.

    Args:
      source: `kind` or `kind:path`, e.g. "digits" or "npy:codes.npy"; kinds are those of the source
        registry, or the user's own "package.module:function".
      test_fraction: the share of examples held out by `split_mask`; None: the source's own.

    Returns:
      A Dataset.

    Raises:
      UnknownNameError: no source of this kind; the nearest is named.
      MissingFileError: the path does not exist.
      DataError: the data are empty or not finite.
    """
    kind, _, path = str(source).partition(":")
    options = {} if test_fraction is None else {"test_fraction": test_fraction}
    if kind in SOURCES.factories or not path:
        dataset = SOURCES[kind](*([path] if path else []), **options)
    else:
        dataset = _users_own(source, kind, options)
    return check(dataset._replace(source=str(source)))


def _users_own(source: str, kind: str, options: Mapping[str, Any]) -> Dataset:
    try:
        SOURCES[source]
    except UnknownNameError as error:
        hint = nearest(kind, SOURCES.factories)
        raise UnknownNameError(f"no data source is called '{kind}'{hint} Also, {error}") from error
    return SOURCES.build({"name": source, **options})


def as_dataset(data: Any, test: Any = None, test_fraction: float | None = None) -> Dataset:
    """A Dataset from whatever `fit` is given: a Dataset, a source's name, or an array.

    Args:
      data: `[n, *event]`, a Dataset, or a string for `load`.
      test: an array to evaluate on; None holds out `test_fraction` of the data by `split_mask`.
      test_fraction: see `split_mask`; None: a tenth.

    Returns:
      A checked Dataset.

    Raises:
      DataError: the data are empty, not numeric, not finite, or of two shapes.
    """
    if isinstance(data, Dataset):
        return check(data)
    if isinstance(data, str | os.PathLike):
        return load(os.fspath(data), test_fraction=test_fraction)
    x = _as_array(data)
    if test is not None:
        return check(Dataset(Split(x), Split(_as_array(test))))
    return check(
        Dataset(*split(x, fraction=TEST_FRACTION if test_fraction is None else test_fraction))
    )


def _as_array(data: Any) -> np.ndarray:
    try:
        x = np.asarray(data)
    except ValueError as error:  # rows of several lengths
        raise DataError(f"data must be an array [n, *event] of numbers: {error}") from error
    if x.ndim == 0 or x.dtype == object:
        raise DataError(f"data must be an array [n, *event] of numbers, got {data!r:.100}")
    return x


def check(dataset: Dataset) -> Dataset:
    """Returns the data set, or raises DataError naming the value, where it stands and the fix."""
    for name, part in (("training", dataset.train), ("test", dataset.test)):
        check_array(part.x, name, allow_empty=name == "test")
        for key, values in part.extras.items():
            if len(values) != len(part.x):
                raise DataError(
                    f"the {name} split has {len(part.x)} examples but {len(values)} of '{key}'"
                )
    train, test = dataset.train.x, dataset.test.x
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"training examples have shape {train.shape[1:]}, test examples {test.shape[1:]}"
        )
    return dataset


def check_array(x: np.ndarray, name: str = "input", allow_empty: bool = False) -> None:
    """Raises DataError unless x is a non-empty, finite, numeric `[n, *event]`."""
    if not (np.issubdtype(x.dtype, np.number) or x.dtype == np.bool_) or np.iscomplexobj(x):
        raise DataError(f"the {name} data must be real numbers, got dtype {x.dtype}")
    if x.ndim < 2:
        raise DataError(
            f"the {name} data must be [n, *event], got shape {x.shape}; one example is x[None], "
            "scalars are x[:, None]"
        )
    if 0 in x.shape[1:] or (len(x) == 0 and not allow_empty):
        raise DataError(f"the {name} data are empty: shape {x.shape}")
    if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
        bad = ~np.isfinite(x)
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"the {name} data hold {int(bad.sum())} value(s) that are not finite, the first "
            f"{x[place]} at {place}; remove or impute them"
        )
