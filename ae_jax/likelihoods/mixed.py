"""Tables whose columns are of different kinds."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax._registry import LIKELIHOODS
from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError, DataError, ShapeError
from ae_jax.likelihoods._checks import OutsideSupport
from ae_jax.likelihoods.scores import score_of
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Array, Likelihood, Shape


class _Group(NamedTuple):
    """Neighbouring columns under one likelihood.

    Attributes:
      name: under which its parameters are stored.
      part: its Likelihood.
      columns: its slice of x.
      outputs: its slice of y.
      shape: shape to which that slice of y is folded.
    """

    name: str
    part: Likelihood
    columns: slice
    outputs: slice
    shape: Shape

    def emitted(self, params: Any, y: Array) -> tuple[Any, Array]:
        """Its parameters, and what the decoder emits for it."""
        return params.get(self.name, {}), y[self.outputs].reshape(self.shape)

    def columns_of(self, x: Array, observed: Array | None) -> tuple[Array, Array | None]:
        """Its columns of x, and which of them are observed."""
        return x[self.columns], None if observed is None else observed[self.columns]


@LIKELIHOODS.register
def mixed(columns: Sequence[tuple[Any, int]]) -> Likelihood:
    """Log p(x | z) = Σ over groups of columns, each under a likelihood of its own.

    Args:
      columns: from left to right, pairs of a likelihood (a part, its config node or its name) and
        the number of neighbouring columns under it.

    Returns:
      A Likelihood over events `(d,)`, d the sum of those numbers. The decoder emits one vector, the
      groups' parameters flattened one after the other. `params` holds group i's, where it has
      any, as `group_i`.

    Raises:
      ConfigError: columns is empty or not made of such pairs.
      ShapeError: from `parameter_shape`, for events of another shape.

    Example:
      >>> import ae_jax as ae
      >>> table = ae.likelihoods.mixed(
      ...     [("gaussian", 3), (ae.likelihoods.categorical(num_classes=5), 2)]
      ... )
      >>> table.parameter_shape((5,))
      (13,)
    """
    table = _Table(_groups(columns))
    groups = table.groups

    def started(means: np.ndarray) -> Likelihood:
        parts = (g.part.started(means[g.columns]) if g.part.started else g.part for g in groups)
        return mixed([(part, count) for part, (_, count) in zip(parts, columns, strict=True)])

    some = lambda field: any(getattr(group.part, field) is not None for group in groups)
    return Likelihood(
        parameter_shape=table.parameter_shape,
        init=table.init,
        log_prob=table.log_prob,
        mean=lambda params, y: table.joined("mean", params, y),
        mode=lambda params, y: table.joined("mode", params, y),
        sample=lambda params, y, key: table.joined(
            "sample", params, y, jax.random.split(key, len(groups))
        ),
        validate=table.validate,
        score=table.score,
        view=table.view if some("view") else None,
        given=table.given if some("given") else None,
        started=started if some("started") else None,
        discrete=tuple(
            bool(kind)
            for group, (_, count) in zip(groups, columns, strict=True)
            for kind in np.broadcast_to(group.part.discrete, count)
        ),
    )


class _Table(NamedTuple):
    """The functions of a mixed likelihood, from its groups of columns, left to right."""

    groups: list[_Group]

    @property
    def width(self) -> int:
        return self.groups[-1].columns.stop

    def parameter_shape(self, event_shape: Shape) -> Shape:
        if tuple(event_shape) != (self.width,):
            raise ShapeError(
                f"the mixed likelihood describes events of shape {(self.width,)}, got {event_shape}"
            )
        return (self.groups[-1].outputs.stop,)

    def init(self, key: Any) -> dict[str, Any]:
        keys = jax.random.split(key, len(self.groups))
        drawn = {g.name: g.part.init(key) for g, key in zip(self.groups, keys, strict=True)}
        return {name: params for name, params in drawn.items() if jax.tree.leaves(params)}

    def log_prob(self, params: Any, y: Array, x: Array, observed: Array | None) -> Array:
        total = jnp.zeros(())
        for group in self.groups:
            nats = group.part.log_prob(*group.emitted(params, y), *group.columns_of(x, observed))
            total = total + nats
        return total

    def joined(self, method: str, params: Any, y: Array, *keys: Array) -> Array:
        parts = (
            getattr(group.part, method)(*group.emitted(params, y), *key)
            for group, *key in zip(self.groups, *keys, strict=True)
        )
        return jnp.concatenate(at_least_float32(*parts))

    def score(self, params: Any, y: Array, x: Array, observed: Array | None) -> dict[str, Any]:
        total: dict[str, tuple[Array, Array]] = {}
        for group in self.groups:
            emitted, known = group.emitted(params, y), group.columns_of(x, observed)
            for name, (summed, count) in score_of(group.part)(*emitted, *known).items():
                before = total.get(name, (0.0, 0.0))
                total[name] = (before[0] + summed, before[1] + count)
        return total

    def view(self, x: Array, observed: Array | None) -> Array:
        shown = []
        for group in self.groups:
            known, seen = group.columns_of(x, observed)
            shown.append(known if group.part.view is None else group.part.view(known, seen))
        return jnp.concatenate(at_least_float32(*shown))

    def given(self, y: Array, x: Array, observed: Array | None) -> Array:
        told = []
        for group in self.groups:
            part, (_, emitted) = group.part, group.emitted({}, y)
            if part.given is not None:
                emitted = part.given(emitted, *group.columns_of(x, observed))
            told.append(emitted.reshape(-1))
        return jnp.concatenate(at_least_float32(*told))

    def validate(self, x: np.ndarray) -> None:
        if x.shape[-1] != self.width:
            raise DataError(
                f"the mixed likelihood describes {self.width} columns, got data of shape {x.shape}"
            )
        for group in self.groups:
            _validate(group, x[..., group.columns])


def _groups(columns: Sequence[tuple[Any, int]]) -> list[_Group]:
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise ConfigError(f"columns must be pairs of a likelihood and a number, got {columns!r}")
    for pair in columns:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise ConfigError(f"columns must be pairs of a likelihood and a number, got {pair!r}")
        require_positive_ints(columns=pair[1])
    parts = [LIKELIHOODS.build(node) for node, _ in columns]
    widths = [width for _, width in columns]
    shapes = [part.parameter_shape((n,)) for part, n in zip(parts, widths, strict=True)]
    names = [f"group_{i}" for i in range(len(parts))]
    sizes = [math.prod(shape) for shape in shapes]
    fields = zip(names, parts, _slices(widths), _slices(sizes), shapes, strict=True)
    return [_Group(*group) for group in fields]


def _slices(sizes: Sequence[int]) -> list[slice]:
    stops = list(itertools.accumulate(sizes))
    return [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]


def _validate(group: _Group, x: np.ndarray) -> None:
    first, stop = group.columns.start, group.columns.stop
    try:
        group.part.validate(x)
    except OutsideSupport as error:
        raise error.in_table(first) from None
    except DataError as error:  # a user's own likelihood: which column it means is not known
        raise DataError(f"columns {first} to {stop - 1}: {error}") from error
