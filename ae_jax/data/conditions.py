"""Labels and other conditions that a model's networks are told, held against what is given."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ae_jax.data.declared import Declared
from ae_jax.data.source import Records, Source, lies_in_memory, pieces
from ae_jax.errors import ConfigError, DataError, nearest
from ae_jax.types import Node

EVERY = ("encoder", "decoder", "bottleneck")
"""The parts that can be told something."""
NO_LABEL = -1
"""The label of an example that has none: its one-hot vector is 0 throughout."""


class Condition(NamedTuple):
    """What a network is told beside its input.

    Attributes:
      part: part that is told.
      name: name of the entry of `extras`.
      num_classes: number of classes of a label; None: a vector of numbers.
    """

    part: str
    name: str
    num_classes: int | None


def of_model(model: Any) -> tuple[Condition, ...]:
    """The conditions of a model's built-in networks; a user's own module checks its own.

    Args:
      model: an Autoencoder.

    Example:
      >>> import ae_jax as ae
      >>> network = ae.networks.mlp((8,), condition="label", num_classes=3)
      >>> recipe = ae.recipes.vae(2, encoder=network)
      >>> of_model(recipe.build(ae.Spec((4,), "real"))[0])
      (Condition(part='encoder', name='label', num_classes=3),)
    """
    parts = {part: getattr(model, part) for part in EVERY}
    parts |= {name: critic.network for name, critic in model.critics.items()}
    nodes = {name: getattr(part, "node", None) for name, part in parts.items()}
    return tuple(condition for part, node in nodes.items() for condition in _of_node(part, node))


def _of_node(part: str, node: Any) -> list[Condition]:
    if isinstance(node, tuple) and not isinstance(node, Node):
        return [condition for item in node for condition in _of_node(part, item)]
    if not isinstance(node, Node):
        return []
    arguments = dict(node.kwargs)
    nested = [condition for value in arguments.values() for condition in _of_node(part, value)]
    name = arguments.get("condition")
    named = [Condition(part, name, arguments.get("num_classes"))] if isinstance(name, str) else []
    return named + nested


def require_names(
    conditions: tuple[Condition, ...], extras: Mapping[str, Any], what: str, fix: str
) -> None:
    """Raises ConfigError for a condition that is not there, naming what is.

    Args:
      conditions: conditions of the model.
      extras: extras by name, arrays or their specs.
      what: has these extras, for the message.
      fix: the way to give them, for the message.
    """
    for condition in conditions:
        if condition.name not in extras:
            known = nearest(condition.name, extras).replace("Known:", f"In {what}:")
            raise ConfigError(
                f"the {condition.part} is conditioned on extras['{condition.name}'], which {what} "
                f"lacks{known} Give it with {fix}"
            )


def require_values(
    conditions: tuple[Condition, ...],
    extras: Mapping[str, Any],
    what: str,
    index: np.ndarray | None = None,
    valid: np.ndarray | None = None,
) -> None:
    """Raises DataError for a label that is no class, or a condition that is not finite.

    Args:
      conditions: conditions of the model.
      extras: each `[b, …]`; those that are not there are passed over.
      what: holds them, for the message.
      index: integers `[b]`, the examples' places in the data set; None: 0 … b - 1.
      valid: bool `[b]`, False for records that could not be read; None: all could.

    Example:
      >>> label = Condition("decoder", "label", 10)
      >>> require_values((label,), {"label": np.array([3, -1])}, "the input")
    """
    for condition in conditions:
        if condition.name not in extras:
            continue
        value, classes = np.asarray(extras[condition.name]), condition.num_classes
        if value.dtype.kind not in "biuf":
            raise DataError(
                f"extras['{condition.name}'] must be real numbers, got dtype {value.dtype}"
            )
        if classes is not None:
            wrong = ~((value >= NO_LABEL) & (value < classes))
            expected = (
                f"classes 0 … {classes - 1} (num_classes={classes}), or {NO_LABEL} for no label"
            )
        else:
            wrong, expected = ~np.isfinite(value), "finite numbers"
        if valid is not None:
            wrong = wrong & valid.reshape(-1, *[1] * (wrong.ndim - 1))
        if wrong.any():
            row, *inside = (int(i) for i in np.argwhere(wrong)[0])
            place = ", ".join(map(str, (row if index is None else int(index[row]), *inside)))
            raise DataError(
                f"extras['{condition.name}'] of {what} holds {value[(row, *inside)]} at {place}; "
                f"the {condition.part} knows {expected}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Guarded:
    """A source whose conditions are checked as they are read.

    Attributes:
      whole: the source.
      conditions: conditions of the model.
      what: holds them, for messages.
    """

    whole: Source
    conditions: tuple[Condition, ...]
    what: str

    @property
    def spec(self) -> Records:
        """See `Source`."""
        return self.whole.spec

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.whole)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`; raises DataError for a condition that the model does not know."""
        records = self.whole.read(index)
        require_values(self.conditions, records.extras, self.what, index, records.valid)
        return records


def guarded(source: Source, conditions: tuple[Condition, ...], what: str) -> Source:
    """The source, whose conditions have been checked or will be as they are read.

    Args:
      source: one that lies in memory is looked at now, and returned as it is.
      conditions: conditions of the model.
      what: holds them, for messages.

    Raises:
      ConfigError: the source lacks one of them.
      DataError: one of them is no class, or not finite.
    """
    if not conditions:
        return source
    fix = "ae.data.from_arrays(x, extras={…}), or of a test split test=(x, {…})"
    require_names(conditions, source.spec.extras, what, fix)
    if isinstance(source, Declared):
        return source
    if not lies_in_memory(source):
        return Guarded(source, conditions, what)
    whole: Any = getattr(source, "whole", source)
    index = getattr(source, "index", None)
    if hasattr(whole, "extras"):  # of arrays, x need not be gone through
        extras = {
            name: value if index is None else value[index] for name, value in whole.extras.items()
        }
        valid = whole.valid if index is None or whole.valid is None else whole.valid[index]
        require_values(conditions, extras, what, valid=valid)
        return source
    first = 0
    for piece in pieces(source):
        places = np.arange(first, first + len(piece.x))
        require_values(conditions, piece.extras, what, places, piece.valid)
        first += len(piece.x)
    return source
