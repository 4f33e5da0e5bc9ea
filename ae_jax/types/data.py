"""What data look like, and a batch of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ae_jax.types.arrays import Array, Shape


class Spec(NamedTuple):
    """What one example looks like after preprocessing, and what kind of data it is."""

    event_shape: Shape
    kind: str  # a key of `ae_jax.recipes.defaults.KINDS`, e.g. "binary", "real", "tokens"
    num_classes: int | None = None  # of tokens
    columns: tuple["Column", ...] | None = None  # of a table
    terminator: int | None = None  # the token that ends a sequence; what follows is padding


class Column(NamedTuple):
    """One column of a table.

    Attributes:
      name: as in the file.
      kind: "number", "category", whose values are codes 0 … len(categories) - 1, or "count".
      categories: what the codes stand for.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()


def spec_to_dict(spec: Spec) -> dict[str, Any]:
    """The form of a Spec in config.json."""
    columns = None if spec.columns is None else [column._asdict() for column in spec.columns]
    return {**spec._asdict(), "event_shape": list(spec.event_shape), "columns": columns}


def spec_from_dict(stored: Mapping[str, Any]) -> Spec:
    """The Spec of `spec_to_dict`; other fields are passed over."""
    columns = stored["columns"]
    if columns is not None:
        columns = tuple(Column(c["name"], c["kind"], tuple(c["categories"])) for c in columns)
    shape = tuple(stored["event_shape"])
    return Spec(shape, stored["kind"], stored["num_classes"], columns, stored.get("terminator"))


class Batch(NamedTuple):
    """A batch of examples.

    Attributes:
      x: `[b, *event]`.
      observed: bool `[b, *event]`; missing entries have False here and 0 in x. None: all observed.
      valid: bool `[b]`, False for the padding of a last batch and for skipped records. None: all.
      index: uint32 `[b]`, each example's place in the data set.
      extras: lengths, labels, conditions, each `[b, …]`.
    """

    x: Array
    observed: Array | None = None
    valid: Array | None = None
    index: Array | None = None  # pyright: ignore[reportIncompatibleMethodOverride]
    extras: Mapping[str, Array] = {}
