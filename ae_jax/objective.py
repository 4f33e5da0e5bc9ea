"""Objectives: weighted sums of pure terms, and the only place that averages over the batch."""

import dataclasses
import functools
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ae_jax import _registry as registry
from ae_jax.errors import ConfigError, PartError
from ae_jax.types import Array, Context, Node, Outputs

Schedule = Callable[[Any], Any]
RESERVED = ("loss", "grad_norm", "skipped")


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["scale"],
    meta_fields=["fn", "name", "schedule", "batch_coupled", "samples", "units", "node"],
)
@dataclasses.dataclass(frozen=True)
class Term:
    """One summand of an objective; a pytree whose only leaf is its weight's number.

    Attributes:
      fn: `(Outputs, Context) -> float[b]`, or a scalar if batch-coupled.
      name: its key in the metrics.
      scale: the weight.
      schedule: `step -> multiplier` of the weight, or None.
      batch_coupled: whether its value is one number for the whole batch.
      samples: how many latent samples an example it needs.
      units: unit of its value, for `describe`.
      node: what rebuilds the function, or None.
    """

    fn: Callable[[Outputs, Context], Array]
    name: str
    scale: Any = 1.0
    schedule: Schedule | None = None
    batch_coupled: bool = False
    samples: int = 1
    units: str = "nats"
    node: Node | None = None

    def weight(self, step: Any) -> Array:
        """The weight at a step."""
        return self.scale if self.schedule is None else self.scale * self.schedule(step)

    def per_example(self, outputs: Outputs, context: Context) -> Array:
        """The unweighted loss of each example, `[b]`, nats.

        Raises:
          PartError: the function returned another shape.
        """
        value, size = self.fn(outputs, context), outputs.z.shape[0]
        expected = () if self.batch_coupled else (size,)
        if jnp.shape(value) != expected:
            hint = (
                "" if self.batch_coupled else "; a single number needs @ae.term(batch_coupled=True)"
            )
            raise PartError(
                f"the term '{self.name}' must return shape {expected}, got {jnp.shape(value)}{hint}"
            )
        return jnp.broadcast_to(value, (size,))


@jax.tree_util.register_pytree_node_class
class Objective:
    """A tuple of terms with unique names; `+`, `*` and `sum()` of objectives are objectives.

    Build it once, outside jit.
    """

    def __init__(self, terms: tuple[Term, ...] = ()):
        """Holds the terms.

        Raises:
          ConfigError: two terms share a name, or one has a name of the step's own metrics.
        """
        self.terms = tuple(terms)
        names = [term.name for term in self.terms]
        for name in RESERVED:
            if name in names:
                raise ConfigError(f"no term can be called '{name}': the step reports that itself")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(
                f"two terms are called '{twice[0]}'; give one another name, e.g. "
                f"ae.terms.{twice[0]}(name='{twice[0]}_2')"
            )

    def __call__(self, outputs: Outputs, context: Context) -> tuple[Array, dict[str, Array]]:
        """The objective of a batch.

        Args:
          outputs: outputs of the model's forward pass.
          context: what else terms need.

        Returns:
          This device's share of the loss (the mean over devices is the mean over all valid examples
          of the global batch), and the same of each unweighted term by name, with "loss".
        """
        total, metrics = jnp.zeros(()), {}
        for term in self.terms:
            value = context.share(term.per_example(outputs, context))
            metrics[term.name] = value
            total = total + term.weight(context.step) * value
        return total, {"loss": total, **metrics}

    def describe(self) -> str:
        """A table of the terms: name, weight, schedule, units, latent samples, reach."""
        rows = [("term", "weight", "schedule", "units", "samples", "over")]
        for t in self.terms:
            schedule = getattr(t.schedule, "node", None)
            label = "-" if t.schedule is None else (schedule.name if schedule else "own")
            reach = "batch" if t.batch_coupled else "example"
            rows.append((t.name, f"{float(t.scale):g}", label, t.units, str(t.samples), reach))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        pad = lambda row: "  ".join(map(str.ljust, row, widths)).rstrip()
        return "\n".join(map(pad, rows))

    @property
    def samples(self) -> int:
        """How many latent samples an example its terms need."""
        return max((term.samples for term in self.terms), default=1)

    def __add__(self, other: Any) -> "Objective":
        """Both objectives' terms; 0 is the empty objective, so that `sum` works."""
        if isinstance(other, numbers.Number) and other == 0:
            return self
        if not isinstance(other, Objective):
            raise PartError(f"an objective plus {type(other).__name__} has no meaning: {other!r}")
        return Objective(self.terms + other.terms)

    __radd__ = __add__

    def __mul__(self, weight: Any) -> "Objective":
        """Every term's weight times a number or scalar array."""
        if not isinstance(weight, numbers.Number) and jnp.shape(weight) != ():
            raise PartError(f"a weight is a number or a scalar array, got {weight!r}")
        replace = lambda term: dataclasses.replace(term, scale=term.scale * weight)
        return Objective(tuple(replace(term) for term in self.terms))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        """`1 · reconstruction + 4 · kl · schedule`."""
        parts = (f"{t.scale} · {t.name}{' · schedule' if t.schedule else ''}" for t in self.terms)
        return f"Objective({' + '.join(parts)})"

    def tree_flatten(self):
        """As a pytree: its terms."""
        return self.terms, None

    @classmethod
    def tree_unflatten(cls, aux, terms):
        """Inverse of `tree_flatten`; leaves may be placeholders, so nothing is checked."""
        objective = object.__new__(cls)
        objective.terms = tuple(terms)
        return objective

    def to_config(self) -> dict[str, dict[str, Any]] | None:
        """`{term name: {"weight": …, arguments}}`, or None if a term cannot be written down."""
        config = {}
        for term in self.terms:
            schedule = getattr(term.schedule, "node", None)
            if term.node is None or (term.schedule is not None and schedule is None):
                return None
            node = term.node.to_dict()
            if node["name"] == term.name:
                del node["name"]
            config[term.name] = {"weight": float(term.scale), **node}
            if schedule is not None:
                config[term.name]["schedule"] = schedule.to_dict()
        return config


def from_config(section: Mapping[str, Any]) -> Objective:
    """The objective of a config section `{term name: {"weight": …, "schedule": …, arguments}}`.

    Args:
      section: nodes by metric name; a bare number is a weight; "name" within names the registered
        term where it differs; `"detached": True` and `"where": (label, value)` are those
        combinators.

    Returns:
      An Objective.

    Raises:
      UnknownNameError: no term has this name.
      ConfigError: an unknown argument, or no terms at all.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"objective must map terms to weights, got {section!r}")
    if not section:
        raise ConfigError("the objective has no terms")
    parts = []
    for metric, node in section.items():
        bare = isinstance(node, numbers.Number | Tracer)
        node = {"weight": node} if bare else node
        if not isinstance(node, Mapping):
            raise ConfigError(f"objective.{metric} must be a weight or a mapping, got {node!r}")
        node = dict(node)
        weight, name = node.pop("weight", 1.0), str(node.pop("name", metric))
        if isinstance(weight, bool) or not isinstance(weight, numbers.Real | Tracer):
            raise ConfigError(f"objective.{metric}.weight must be a number, got {weight!r}")
        schedule = node.pop("schedule", None)
        schedule = None if schedule is None else registry.SCHEDULES.build(schedule)
        around = {key: node.pop(key) for key in registry.COMBINATORS.factories if key in node}
        part = registry.TERMS[name](**node, schedule=schedule, name=metric)
        for combinator, setting in around.items():
            part = registry.COMBINATORS[combinator](part, setting)
        parts.append(weight * part)
    return sum(parts, start=Objective())
