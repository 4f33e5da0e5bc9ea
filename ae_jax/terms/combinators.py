"""Objectives made of objectives: terms cut from the gradient, or restricted to some examples."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import COMBINATORS, to_node
from ae_jax.errors import ConfigError, PartError, nearest
from ae_jax.objective import Objective, Term
from ae_jax.types import Array, Context, Node, Outputs


@dataclasses.dataclass(frozen=True)
class Detached:
    """A term's function without its gradient."""

    inner: Any

    def __call__(self, outputs: Outputs, context: Context) -> Array:
        """The same value."""
        return jax.lax.stop_gradient(self.inner(outputs, context))


@dataclasses.dataclass(frozen=True)
class Restricted:
    """A term's function over the examples with one label; zero for the others."""

    inner: Any
    label: str
    equals: int

    def __call__(self, outputs: Outputs, context: Context) -> Array:
        """The value where the label fits, `[b]`."""
        extras = context.batch.extras
        if self.label not in extras:
            raise PartError(f"the batch has no '{self.label}'{nearest(self.label, extras)}")
        labels, value = extras[self.label], self.inner(outputs, context)
        if jnp.shape(labels) != jnp.shape(value):
            raise PartError(
                f"where needs one '{self.label}' and one loss an example, got shapes "
                f"{jnp.shape(labels)} and {jnp.shape(value)}"
            )
        return jnp.where(labels == self.equals, value, 0.0)


def detached(objective: Objective) -> Objective:
    """The same terms, watched but not learned from: their value counts, their gradient does not.

    In a config: `"kl": {"detached": True}`.

    Args:
      objective: terms to watch.

    Returns:
      An Objective of the same terms.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + ae.terms.detached(ae.terms.kl())
      Objective(1.0 · reconstruction + 1.0 · kl)
    """

    def replace(term: Term) -> Term:
        node = with_setting(term.node, "detached", True)
        return dataclasses.replace(term, fn=Detached(term.fn), node=node)

    return Objective(tuple(map(replace, objective.terms)))


def where(objective: Objective, label: str, equals: int) -> Objective:
    """The same terms for the examples whose label has one value, zero for all others.

    Averages are still over the whole batch, so the weight of a term does not depend on how many
    examples it applies to. In a config: `"kl": {"where": ("label", 3)}`.

    Args:
      objective: terms that are not batch-coupled.
      label: name of the entry of `batch.extras`.
      equals: value of the label.

    Returns:
      An Objective of the same terms.

    Raises:
      PartError: a term is batch-coupled.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + ae.terms.where(ae.terms.l1(), label="label", equals=3)
      Objective(1.0 · reconstruction + 1.0 · l1)
    """

    def replace(term: Term) -> Term:
        if term.batch_coupled:
            raise PartError(f"the term '{term.name}' belongs to the whole batch, not to examples")
        node = with_setting(term.node, "where", (label, equals))
        return dataclasses.replace(term, fn=Restricted(term.fn, label, equals), node=node)

    return Objective(tuple(map(replace, objective.terms)))


def with_setting(node: Node | None, name: str, setting: Any) -> Node | None:
    """The node of a term under a combinator; None where it is under the same with another."""
    added = to_node(name, {name: setting})
    if node is None or added is None:
        return None
    settings = dict(node.kwargs) | dict(added.kwargs)
    changed = any(settings[key] != value for key, value in node.kwargs)
    return None if changed else node._replace(kwargs=tuple(settings.items()))


def _detached_by_config(objective: Objective, setting: Any) -> Objective:
    if not isinstance(setting, bool):
        raise ConfigError(f"detached must be True or False, got {setting!r}")
    return detached(objective) if setting else objective


def _where_by_config(objective: Objective, setting: Any) -> Objective:
    pair = isinstance(setting, list | tuple) and len(setting) == 2
    if not pair or not isinstance(setting[0], str) or not isinstance(setting[1], int):
        raise ConfigError(f"where must be a label's name and its value, got {setting!r}")
    return where(objective, *setting)


COMBINATORS.factories |= {"detached": _detached_by_config, "where": _where_by_config}
