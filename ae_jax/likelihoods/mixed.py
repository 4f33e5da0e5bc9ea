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
    groups = _groups(columns)
    width = groups[-1].columns.stop

    def parameter_shape(event_shape):
        if tuple(event_shape) != (width,):
            raise ShapeError(
                f"the mixed likelihood describes events of shape {(width,)}, got {event_shape}"
            )
        return (groups[-1].outputs.stop,)

    def init(key):
        keys = jax.random.split(key, len(groups))
        drawn = {g.name: g.part.init(group_key) for g, group_key in zip(groups, keys, strict=True)}
        return {name: params for name, params in drawn.items() if jax.tree.leaves(params)}

    def own(group: _Group, params: Any, y: Array) -> tuple[Any, Array]:
        return params.get(group.name, {}), y[group.outputs].reshape(group.shape)

    def log_prob(params, y, x, observed):
        total = jnp.zeros(())
        for group in groups:
            seen = None if observed is None else observed[group.columns]
            own_params, own_y = own(group, params, y)
            total = total + group.part.log_prob(own_params, own_y, x[group.columns], seen)
        return total

    def joined(method: str):
        def join(params, y, *keys):
            parts = (
                getattr(g.part, method)(*own(g, params, y), *key)
                for g, *key in zip(groups, *keys, strict=True)
            )
            return jnp.concatenate(at_least_float32(*parts))

        return join

    def score(params, y, x, observed):
        total: dict[str, tuple[Array, Array]] = {}
        for group in groups:
            seen = None if observed is None else observed[group.columns]
            scores = score_of(group.part)(*own(group, params, y), x[group.columns], seen)
            for name, (summed, count) in scores.items():
                before = total.get(name, (0.0, 0.0))
                total[name] = (before[0] + summed, before[1] + count)
        return total

    def view(x, observed):
        shown = []
        for group in groups:
            shown_columns = x[group.columns]
            if group.part.view is not None:
                seen = None if observed is None else observed[group.columns]
                shown_columns = group.part.view(shown_columns, seen)
            shown.append(shown_columns)
        return jnp.concatenate(at_least_float32(*shown))

    def given(y, x, observed):
        told = []
        for group in groups:
            part, mine = group.part, y[group.outputs].reshape(group.shape)
            if part.given is not None:
                seen = None if observed is None else observed[group.columns]
                mine = part.given(mine, x[group.columns], seen)
            told.append(mine.reshape(-1))
        return jnp.concatenate(at_least_float32(*told))

    def started(means: np.ndarray) -> Likelihood:
        parts = (g.part.started(means[g.columns]) if g.part.started else g.part for g in groups)
        return mixed([(part, count) for part, (_, count) in zip(parts, columns, strict=True)])

    def validate(x: np.ndarray) -> None:
        if x.shape[-1] != width:
            raise DataError(
                f"the mixed likelihood describes {width} columns, got data of shape {x.shape}"
            )
        for group in groups:
            _validate(group, x[..., group.columns])

    some = lambda field: any(getattr(group.part, field) is not None for group in groups)
    return Likelihood(
        parameter_shape=parameter_shape,
        init=init,
        log_prob=log_prob,
        mean=joined("mean"),
        mode=joined("mode"),
        sample=lambda params, y, key: joined("sample")(
            params, y, jax.random.split(key, len(groups))
        ),
        validate=validate,
        score=score,
        view=view if some("view") else None,
        given=given if some("given") else None,
        started=started if some("started") else None,
        discrete=tuple(
            bool(kind)
            for group, (_, count) in zip(groups, columns, strict=True)
            for kind in np.broadcast_to(group.part.discrete, count)
        ),
    )


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
