"""Data sets, their fixed splits, and the checks that come before any compilation."""

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
from ae_jax.data.source import (
    Arrays,
    Source,
    Subset,
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
        check_spec(part, name, allow_empty=name != "training")
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


def check_spec(part: Source, name: str, allow_empty: bool) -> None:
    """Raises DataError unless the examples are real numbers, `[n, *event]`, and not empty."""
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
