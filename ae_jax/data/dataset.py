"""Data sets, their fixed splits, and the checks that come before any compilation."""

import dataclasses
import numbers
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.config.sections import Data
from ae_jax.data import given, kinds, matching, order, suggestions
from ae_jax.data.declared import check_declared
from ae_jax.data.facts import look
from ae_jax.data.parts import arrays_of, columns_of, source_of
from ae_jax.data.source import (
    Arrays,
    Records,
    Source,
    Subset,
    check_records,
    in_memory,
    lies_in_memory,
)
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.types import Column

TEST_FRACTION = 0.1
SALT = {"test": 0, "validation": 0x56414C00}


class Dataset(NamedTuple):
    """Splits of the same kind of example, and what is known of its values.

    Attributes:
      train: what is learned from.
      test: what is only evaluated; may be empty.
      validation: held out of training to choose by (the best checkpoint); None: no such split.
      source: what was loaded, for config.json; None for an array passed from memory.
      value_range: the smallest and largest value the data's units allow, where known.
      kind: kind of the values, a key of `ae_jax.recipes.defaults.KINDS`; None: seen from the
        values.
      num_classes: number of classes of tokens.
      columns: columns of a table, from left to right.
      overlapping: whether examples share data, as windows do, so that no split by example is sound.
      terminator: the token that ends a sequence shorter than the others; None: there is none.
      options: what else of config.json's `data` section loads it again.
    """

    train: Source
    test: Source
    validation: Source | None = None
    source: str | None = None
    value_range: tuple[float, float] | None = None
    kind: str | None = None
    num_classes: int | None = None
    columns: tuple[Column, ...] | None = None
    overlapping: bool = False
    options: Mapping[str, Any] = {}
    terminator: int | None = None

    @property
    def splits(self) -> dict[str, Source]:
        """Those that hold examples, by name: "train", "validation", "test"."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None and len(split)}

    @property
    def by_column(self) -> bool:
        """Whether the last axis of an example holds columns, each of its own units."""
        return len(self.train.spec.x.shape) == 1 or self.kind == "series"


SOURCES.part = Dataset


def split_mask(size: int, fraction: float, split: str = "test") -> np.ndarray:
    """Which examples belong to a held-out split: those whose index hashes below the fraction.

    Fixed for all time and independent of the size, so that appended data never move an example from
    one split to the other.

    Args:
      size: how many examples there are.
      fraction: the share held out, in [0, 1).
      split: "test", or "validation", which is carved by a hash of its own out of what is left for
        training.

    Returns:
      bool `[size]`, True for held out.

    Raises:
      ConfigError: a fraction outside [0, 1).
    """
    number = isinstance(fraction, numbers.Real) and not isinstance(fraction, bool)
    if not number or not 0 <= fraction < 1:
        raise ConfigError(f"{split}_fraction must lie in [0, 1), got {fraction!r}")
    index = np.arange(size, dtype=np.uint32) ^ np.uint32(SALT[split])
    return order.hash_index(index) < fraction * 2.0**32


def split(
    x: Source | np.ndarray,
    extras: Mapping[str, np.ndarray] | None = None,
    fraction: float = TEST_FRACTION,
    name: str = "test",
    copy: bool = True,
) -> tuple[Source, Source]:
    """What is left and what is held out by `split_mask`.

    Args:
      x: a source, or its array.
      extras: extras of the array, each `[n, …]`.
      fraction: the share held out.
      name: name of the held-out split.
      copy: False: arrays in memory are not copied, and must not change while they are in use.

    Returns:
      Two sources; files are not read.
    """
    source: Any = Arrays(x, dict(extras or {})) if isinstance(x, np.ndarray) else x
    held_out = split_mask(len(source), fraction, name)
    part = lambda mask: _take(source, np.flatnonzero(mask), copy)
    return part(~held_out), part(held_out)


def _take(source: Source, index: np.ndarray, copy: bool) -> Source:
    part = Subset(source, index)
    if not isinstance(source, Arrays) or not lies_in_memory(part):
        return part
    return Arrays(*source.read(index)) if copy else Subset(source, index.astype(np.int32))


def load(
    source: str | os.PathLike,
    *,
    test_fraction: float | None = None,
    validation_fraction: float | None = None,
    **arguments: Any,
) -> Dataset:
    """A data set by its config name.

    Args:
      source: `kind` or `kind:path`, e.g. "digits" or "npy:codes.npy"; kinds are those of the source
        registry, or the user's own "package.module:function".
      test_fraction: the share of examples held out by `split_mask`; None: the source's own.
      validation_fraction: the share of the training split held out by `split_mask`; None: none.
      **arguments: arguments of that source, e.g. `size=64` for "images:FOLDER".

    Returns:
      A Dataset.

    Raises:
      UnknownNameError: no source of this kind; the nearest is named.
      ConfigError: the source has no such argument, or a validation split would overlap training.
      MissingFileError: the path does not exist.
      DataError: the data are empty or not finite.
    """
    name = os.fspath(source)
    kind, _, path = name.partition(":")
    suggestions.refuse_bare_path(name)
    options = dict(arguments)
    if test_fraction is not None:
        options["test_fraction"] = test_fraction
    if kind in SOURCES.factories or not path:
        dataset = SOURCES[kind](*([os.path.expanduser(path)] if path else []), **options)
    else:
        dataset = _users_own(name, kind, options)
    if validation_fraction:
        if dataset.validation is not None:
            raise ConfigError(
                f"'{name}' has a validation split of its own; leave out validation_fraction"
            )
        if dataset.overlapping:
            raise ConfigError(
                f"examples of '{name}' overlap, so that a validation split of some of them would "
                "hold what is trained on; make the stride as long as the window, or, of images, "
                "frames='first'"
            )
        train, validation = split(dataset.train, fraction=validation_fraction, name="validation")
        dataset = dataset._replace(train=train, validation=validation)
    fractions = {"test_fraction": test_fraction, "validation_fraction": validation_fraction}
    options = {"arguments": dict(arguments), **fractions}
    return check(dataset._replace(source=name, options=options))


def of_section(section: Data) -> Dataset:
    """The Dataset that the `data` section of a complete config names, held against its `spec`."""
    if section.source is None:
        raise ConfigError("data.source is None: the data came from memory and have to be passed")
    fractions = {
        "test_fraction": section.test_fraction,
        "validation_fraction": section.validation_fraction,
    }
    dataset = load(section.source, **(fractions | section.arguments))
    if section.spec:
        check_declared(dataset.train, section.spec)
    return dataset


def _users_own(source: str, kind: str, options: Mapping[str, Any]) -> Dataset:
    try:
        SOURCES[source]
    except UnknownNameError as error:
        hint = nearest(kind, SOURCES.factories)
        raise UnknownNameError(f"no data source is called '{kind}'{hint} Also, {error}") from error
    return SOURCES.build({"name": source, **options})


def from_arrays(
    x: Any,
    *,
    test: Any = None,
    observed: Any = None,
    extras: Mapping[str, Any] | None = None,
    test_fraction: float = TEST_FRACTION,
    copy: bool = True,
) -> Dataset:
    """A Dataset from arrays in memory.

    Args:
      x: `[n, *event]`: an array, a masked one (what is masked is missing), or a table of numbers
        with named columns, such as pandas' DataFrame.
      test: what to evaluate on, see `fit`; None holds out `test_fraction` by `split_mask`.
      observed: bool, of x's shape: False where an entry is missing (its value is not looked at).
      extras: labels (-1: none), conditions, lengths, each `[n, …]`.
      test_fraction: the share held out.
      copy: False: the splits are views of the arrays, which must not change while they are in use.

    Returns:
      A checked Dataset.

    Raises:
      DataError: the data are empty, not numeric, not finite, or of two shapes.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> x = np.array([[1.0, np.nan], [3.0, 4.0]] * 50)
      >>> data = ae.data.from_arrays(x, observed=~np.isnan(x))
      >>> len(data.train) + len(data.test)
      100
    """
    whole = arrays_of(x, observed, extras)
    train, held_out = (
        (whole, Arrays(whole.x[:0]))
        if test is not None
        else split(whole, fraction=test_fraction, copy=copy)
    )
    dataset = Dataset(train, held_out, columns=whole.columns)
    return check(dataset) if test is None else with_test(dataset, test)


def with_test(dataset: Dataset, test: Any) -> Dataset:
    """The data set with another test split, checked; it has no source to be loaded again from.

    Args:
      dataset: data set of which training and validation split are kept.
      test: an array `[n, *event]`, a pair `(x, extras)`, Records, a source such as
        `ae.data.load(…).test`, or a Dataset without a test split of its own.

    Raises:
      DataError: it is none of these, or its examples are not like those of training.
    """
    part = matching.matched(source_of(test, dataset.columns, "test"), dataset.columns, "test data")
    return check(dataset._replace(test=part, source=None, options={}))


def checked_input(
    x: Any, observed: Any, extras: Any, columns: Any, event: tuple[int, ...]
) -> Records:
    """Examples for a Run, checked as those of `from_arrays`, whose arguments these are.

    Args:
      x: `[n, *event]`, a pair `(x, extras)`, or a source, which brings its own `observed` along.
      observed: mask of observed entries, see `from_arrays`.
      extras: extras, see `from_arrays`.
      columns: columns of the training data, to which those of a table are matched by name.
      event: the shape of one example.
    """
    part = source_of(x, columns, "input", observed)
    whole = dataclasses.replace(in_memory(part), columns=columns_of(part))
    if extras is not None:
        whole = dataclasses.replace(whole, extras=given.extras(extras, len(whole), "input"))
    whole: Any = matching.matched(whole, columns, "input data")
    matching.require_shape(whole.x.shape, event)
    _check_spec(whole, "input", allow_empty=False)
    check_records(whole.records, "input")
    return whole.records


def as_dataset(
    data: Any, test: Any = None, test_fraction: float | None = None, copy: bool = True
) -> Dataset:
    """A Dataset from whatever `fit` is given: a Dataset, a source's name, or examples.

    Args:
      data: `[n, *event]` as for `from_arrays`, a pair `(x, extras)`, Records, a source, a Dataset,
        or a string for `load`.
      test: what to evaluate on in place of the data's own test split, see `with_test`; None holds
        out `test_fraction` of the data by `split_mask`.
      test_fraction: part held out, see `split_mask`; None: a tenth.
      copy: whether arrays are copied, see `from_arrays`.

    Returns:
      A checked Dataset.

    Raises:
      DataError: the data are empty, not numeric, not finite, or of two shapes.
    """
    if isinstance(data, Dataset):
        return check(data) if test is None else with_test(data, test)
    if isinstance(data, str | os.PathLike):
        dataset = load(data, test_fraction=test_fraction)
        return dataset if test is None else with_test(dataset, test)
    fraction = TEST_FRACTION if test_fraction is None else test_fraction
    whole = source_of(data, None, "training")
    columns = columns_of(whole)
    if test is not None:
        empty: Any = Subset(whole, np.zeros(0, int))
        return with_test(Dataset(whole, empty, columns=columns), test)
    return check(Dataset(*split(whole, fraction=fraction, copy=copy), columns=columns))


def check(dataset: Dataset) -> Dataset:
    """Returns the data set, or raises DataError naming the value, where it stands and the fix.

    Arrays are looked at whole; sources that read files are checked as they are read.
    """
    shape = dataset.train.spec.x.shape
    kinds.check_kind(dataset.kind, dataset.num_classes, dataset.columns, shape)
    dataset = matching.named(dataset)
    named = {"training": dataset.train, "validation": dataset.validation, "test": dataset.test}
    shapes = {}
    for name, part in named.items():
        if part is None:
            continue
        _check_spec(part, name, allow_empty=name != "training")
        if isinstance(whole := getattr(part, "whole", part), Arrays):
            given.check_arrays(whole, name)
        if lies_in_memory(part):
            look(part, dataset.by_column, name)
        shapes[name] = part.spec.x.shape
    for name, shape in shapes.items():
        if shape != shapes["training"]:
            raise DataError(
                f"training examples have shape {shapes['training']}, {name} examples {shape}"
            )
        if len(named[name]):
            matching.check_alike(dataset.train.spec, named[name].spec, name)
    return dataset


def _check_spec(part: Source, name: str, allow_empty: bool) -> None:
    shape, dtype = (len(part), *part.spec.x.shape), part.spec.x.dtype
    if not (np.issubdtype(dtype, np.number) or dtype == np.bool_) or dtype.kind == "c":
        raise DataError(f"the {name} data must be real numbers, got dtype {dtype}")
    if len(shape) < 2:
        raise DataError(
            f"the {name} data must be [n, *event], got shape {shape}; one example is x[None], "
            "scalars are x[:, None]"
        )
    if 0 in shape[1:] or (len(part) == 0 and not allow_empty):
        raise DataError(f"the {name} data are empty: shape {shape}")


def check_array(x: np.ndarray, name: str = "input") -> None:
    """Raises DataError unless x is a non-empty, finite, numeric `[n, *event]`."""
    _check_spec(Arrays(x), name, allow_empty=False)
    check_records(Records(x), name)
