"""What a user gives as data or input, arrays, tables or sources, as checked splits and records."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ae_jax.data import given, matching
from ae_jax.data.dataset import TEST_FRACTION, Dataset, check, check_spec, load, split
from ae_jax.data.parts import arrays_of, columns_of, source_of
from ae_jax.data.source import (
    Arrays,
    Records,
    Subset,
    check_records,
    in_memory,
)


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
    check_spec(whole, "input", allow_empty=False)
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
