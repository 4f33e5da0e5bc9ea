"""What a preprocessing is, and pointwise ones: on the device, or in float64 on the host."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ae_jax._registry import PREPROCESSING
from ae_jax.data.intake import Affine
from ae_jax.errors import DataError
from ae_jax.keys import Draws
from ae_jax.types import Array, Node, Shape


def _same_shape(shape: Shape) -> Shape:
    return tuple(shape)


def _same(x: Array, draws: Draws | None = None, train: bool = False) -> Array:
    del draws, train
    return x


class Preprocessing(NamedTuple):
    """One map of a batch.

    Attributes:
      apply: `(x, draws=None, train=False) -> x`: `[b, *event]` in the data's units, any numeric
        dtype, to float32. Without draws it is deterministic.
      invert: float32 back to the data's units, not rounded; float64 where `host` is set.
      event_shape: the data's event shape to the model's.
      observed: what `apply` does to the mask of observed entries, with the same arguments.
      node: what rebuilds it.
      affine: what `apply` does, where that is (x - centre) / spread and nothing else.
      host: its first part, where that has to be done in float64 on the host: arrays are then given
        to `apply` and `invert` outside jit. None: nothing has to be.
      device: what is left to do after `host`; None: all, see `on_device`.
    """

    apply: Callable[..., Array]
    invert: Callable[[Array], Any]
    event_shape: Callable[[Shape], Shape] = _same_shape
    observed: Callable[..., Array] = _same
    node: Node | None = None
    affine: Affine | None = None
    host: Affine | None = None
    device: "Preprocessing | None" = None


PREPROCESSING.part = Preprocessing
SAME = Affine(np.zeros(()), np.ones(()))


def on_device(part: Preprocessing) -> Preprocessing:
    """What is done to data that were taken in (`ae_jax.data.intake.take_in`)."""
    return part.device or part


@PREPROCESSING.register
def none() -> Preprocessing:
    """Values as they are, in float32."""
    return pointwise(lambda x: x, lambda x: x, SAME)


def pointwise(
    forward: Callable[[Array], Array], back: Callable[[Array], Array], affine: Affine
) -> Preprocessing:
    """A map of each value and its inverse; on the host where float32 would lose digits."""
    if affine.exceeds_float32:
        return on_host(affine)
    as_float = lambda x: jnp.asarray(x, jnp.float32)
    return Preprocessing(
        apply=lambda x, draws=None, train=False: forward(as_float(x)),
        invert=lambda x: back(as_float(x)),
        affine=affine,
    )


def on_host(affine: Affine, device: Preprocessing | None = None) -> Preprocessing:
    """The map, in float64 outside jit, and what follows it."""
    rest = none() if device is None else device

    def apply(x, draws=None, train=False):
        return rest.apply(affine.apply(_outside_jit(x)), draws, train)

    return Preprocessing(
        apply=apply,
        invert=lambda x: affine.invert(_outside_jit(rest.invert(x))),
        event_shape=rest.event_shape,
        observed=rest.observed,
        affine=affine if device is None else None,
        host=affine,
        device=rest,
    )


def _outside_jit(x: Any) -> np.ndarray:
    if isinstance(x, Tracer):
        raise DataError(
            "this preprocessing is done in float64 on the host, where float32 would lose digits: "
            "apply it to arrays outside jit, or take data in by ae_jax.data.intake"
        )
    return np.asarray(x)
