"""Several preprocessings, one after the other."""

import functools
from collections.abc import Sequence
from typing import Any

from ae_jax._registry import PREPROCESSING
from ae_jax.data.intake import Affine
from ae_jax.data.preprocessing.part import SAME, Preprocessing, on_device, on_host
from ae_jax.errors import ConfigError


@PREPROCESSING.register
def chain(parts: Sequence[Any]) -> Preprocessing:
    """Several, from first to last; in a config simply their list.

    Args:
      parts: Preprocessings, config nodes or names.

    Raises:
      ConfigError: there is none.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> pre = ae.data.preprocessing
      >>> both = pre.chain([pre.scale(low=0, high=255), pre.binarise("threshold")])
      >>> both.apply(np.array([[10, 200]], np.uint8)).tolist()
      [[0.0, 1.0]]
    """
    if isinstance(parts, str) or not isinstance(parts, Sequence) or not parts:
        raise ConfigError(f"chain needs a list of preprocessing parts, got {parts!r}")
    built = [PREPROCESSING.build(part) for part in parts]
    hosted = [place for place, part in enumerate(built) if part.host is not None]
    if hosted:
        return _host_first(built[: hosted[-1]], built[hosted[-1]], built[hosted[-1] + 1 :])

    def through(method: str):
        def run(x, draws=None, train=False):
            for part in built:
                x = getattr(part, method)(x, draws, train)
            return x

        return run

    def invert(x):
        for part in reversed(built):
            x = part.invert(x)
        return x

    def event_shape(shape):
        for part in built:
            shape = part.event_shape(shape)
        return shape

    maps = [part.affine for part in built]
    affine = None if any(one is None for one in maps) else functools.reduce(Affine.then, maps)  # pyright: ignore
    return Preprocessing(through("apply"), invert, event_shape, through("observed"), affine=affine)


def _host_first(
    before: Sequence[Preprocessing], last: Preprocessing, rest: Sequence[Preprocessing]
) -> Preprocessing:
    """The parts up to the last that needs the host in one, then those that follow it."""
    maps = [part.affine for part in before]
    if any(one is None for one in maps):
        name = last.node.name if last.node else "chain"
        raise ConfigError(
            f"float32 would lose digits before '{name}': put it first in the preprocessing, where "
            "it is done in float64, or behind scale and standardise only"
        )
    host = functools.reduce(Affine.then, [*maps, last.host])  # pyright: ignore
    follows = [part for part in (on_device(last), *rest) if part.affine is not SAME]
    return on_host(host, chain(follows) if follows else None)


def build(node: Any) -> Preprocessing:
    """A Preprocessing from a part, a config node, a name, or a list of these."""
    return (
        chain(node)
        if isinstance(node, list | tuple) and not hasattr(node, "_fields")
        else (PREPROCESSING.build(node))
    )
