"""One split as a source, whatever it is given as."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ae_jax.data import given
from ae_jax.data.source import Arrays, Records, Source
from ae_jax.errors import DataError
from ae_jax.types import Column


def source_of(data: Any, columns: Any, what: str, observed: Any = None) -> Source:
    """A source of whatever one split may be given as.

    Args:
      data: an array or table as for `given.take`, a pair `(x, extras)`, Records, a source, or a
        Dataset of one split.
      columns: columns, see `given.take`.
      what: the data are: "training", "test" or "input", for messages.
      observed: mask of an array, table or pair, see `given.take`; the others bring their own.

    Raises:
      DataError: a Dataset of several splits, no array of numbers, or `observed` of what has it.
    """
    is_source = hasattr(data, "read") and hasattr(data, "spec")
    if observed is not None and (hasattr(data, "splits") or is_source or isinstance(data, Records)):
        raise DataError(
            f"the {what} data are a {type(data).__name__}, which says itself what is observed: "
            "leave observed out, or pass its arrays"
        )
    if hasattr(data, "splits"):
        if len(data.splits) > 1:
            raise DataError(
                f"the {what} data are a Dataset with the splits {', '.join(data.splits)}: give "
                "one of them, e.g. data.test, or build it with test_fraction=0"
            )
        return data.train
    if isinstance(data, Records):
        whole = arrays_of(data.x, data.observed, data.extras, columns, what)
        return dataclasses.replace(whole, valid=data.valid)
    if is_source:
        return data
    if type(data) is tuple and len(data) == 2 and isinstance(data[1], Mapping):
        return arrays_of(data[0], observed, data[1], columns, what)
    return arrays_of(data, observed, None, columns, what)


def arrays_of(
    x: Any, observed: Any, extras: Any, columns: Any = None, what: str = "training"
) -> Arrays:
    """Arrays of what `from_arrays` takes; other arguments as those of `source_of`."""
    taken = given.take(x, observed, columns, "data" if what == "training" else f"{what} data")
    holder = what if what == "input" else f"{what} split"
    fields = given.extras(extras, len(taken.x), holder)
    return Arrays(taken.x, fields, taken.observed, columns=taken.columns)


def columns_of(source: Source) -> tuple[Column, ...] | None:
    """The columns of a table in memory, if they have names."""
    return getattr(source, "columns", None)
