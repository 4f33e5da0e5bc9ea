"""What is done to the axes of an example: pad, crop, flip."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import PREPROCESSING
from ae_jax.data.preprocessing.part import Preprocessing
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, Shape


@PREPROCESSING.register
def pad(by: Sequence[int | Sequence[int]]) -> Preprocessing:
    """Zeros around the leading event axes, cut off again by `invert`; they count as observed.

    Args:
      by: numbers before and after for each axis, or one number for both, e.g. `(2, 2)` for images
        28 high and 28 wide to 32 by 32.

    Raises:
      ConfigError: a number that is negative or not whole.
    """
    ends = _ends("pad", by)
    return Preprocessing(
        apply=lambda x, draws=None, train=False: _padded(jnp.asarray(x, jnp.float32), ends, 0),
        invert=lambda x: _cropped(jnp.asarray(x, jnp.float32), ends),
        event_shape=lambda shape: _resized("pad", shape, ends, 1),
        observed=lambda mask, draws=None, train=False: _padded(mask, ends, True),
    )


@PREPROCESSING.register
def crop(by: Sequence[int | Sequence[int]]) -> Preprocessing:
    """Cuts off the ends of the leading event axes; `invert` does not bring them back.

    Args:
      by: numbers before and after for each axis, or one number for both.

    Raises:
      ConfigError: a number that is negative or not whole.
      ShapeError: from `event_shape`, for events that are too short.
    """
    ends = _ends("crop", by)
    return Preprocessing(
        apply=lambda x, draws=None, train=False: _cropped(jnp.asarray(x, jnp.float32), ends),
        invert=lambda x: jnp.asarray(x, jnp.float32),
        event_shape=lambda shape: _resized("crop", shape, ends, -1),
        observed=lambda mask, draws=None, train=False: _cropped(mask, ends),
    )


def _ends(name: str, by: Any) -> list[tuple[int, int]]:
    whole = lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0
    pairs = [(v, v) if whole(v) else v for v in by] if isinstance(by, list | tuple) else []
    right = lambda p: isinstance(p, list | tuple) and len(p) == 2 and all(map(whole, p))
    if not pairs or not all(map(right, pairs)):
        raise ConfigError(f"{name} needs for each axis a number or a pair of them, got {by!r}")
    return [(pair[0], pair[1]) for pair in pairs]


def _resized(name: str, shape: Shape, ends: list[tuple[int, int]], sign: int) -> Shape:
    new = [n + sign * sum(pair) for n, pair in zip(shape, ends, strict=False)]
    if len(shape) < len(ends) or min(new) < 1:
        raise ShapeError(f"cannot {name} examples of shape {tuple(shape)} by {ends}")
    return (*new, *shape[len(ends) :])


def _padded(x: Array, ends: list[tuple[int, int]], fill: float) -> Array:
    widths = [(0, 0), *ends, *[(0, 0)] * (x.ndim - 1 - len(ends))]
    return jnp.pad(x, widths, constant_values=fill)


def _cropped(x: Array, ends: list[tuple[int, int]]) -> Array:
    stops = [(low, n - high) for n, (low, high) in zip(x.shape[1:], ends, strict=False)]
    return x[(slice(None), *(slice(*stop) for stop in stops))]


@PREPROCESSING.register
def flip(axis: int = 1) -> Preprocessing:
    """Mirrors every other example at random, in training only.

    Args:
      axis: axis of the event; 1, the width of images `[h, w, c]`.
    """

    def turned(x, draws=None, train=False):
        if draws is None or not train:
            return x
        if not -(x.ndim - 1) <= axis < x.ndim - 1:
            raise ShapeError(f"examples of shape {x.shape[1:]} have no axis {axis} to flip")
        key = jax.vmap(fused_random.fold_in, in_axes=(0, None))(draws.time, 1)
        coin = jax.vmap(fused_random.bernoulli)(key)
        flipped = jnp.flip(x, axis + 1 if axis >= 0 else axis)
        return jnp.where(coin.reshape(-1, *[1] * (x.ndim - 1)), flipped, x)

    return Preprocessing(
        apply=lambda x, draws=None, train=False: turned(jnp.asarray(x, jnp.float32), draws, train),
        invert=lambda x: jnp.asarray(x, jnp.float32),
        observed=turned,
    )
