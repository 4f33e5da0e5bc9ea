"""Pure functions from the data's units to the model's and back, applied on the device.

Where float32 would lose the data's digits, `scale` and `standardise` are applied on the host, in
float64 (`ae_jax.data.facts.SHARE`). All are stored with the run and applied by train, encode,
decode, sample and evaluate alike. Each takes a whole batch; what is random draws from per-example
keys, and does nothing random without.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ae_jax._registry import PREPROCESSING
from ae_jax.data.intake import Affine
from ae_jax.errors import ConfigError, DataError, ShapeError
from ae_jax.keys import Draws
from ae_jax.ops import random as fused_random
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


def _pointwise(
    forward: Callable[[Array], Array], back: Callable[[Array], Array], affine: Affine
) -> Preprocessing:
    if affine.exceeds_float32:
        return _on_host(affine)
    as_float = lambda x: jnp.asarray(x, jnp.float32)
    return Preprocessing(
        apply=lambda x, draws=None, train=False: forward(as_float(x)),
        invert=lambda x: back(as_float(x)),
        affine=affine,
    )


def _on_host(affine: Affine, device: Preprocessing | None = None) -> Preprocessing:
    """The map, and what follows it."""
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


@PREPROCESSING.register
def none() -> Preprocessing:
    """Values as they are, in float32."""
    return _pointwise(lambda x: x, lambda x: x, SAME)


@PREPROCESSING.register
def scale(low: float, high: float) -> Preprocessing:
    """(x - low) / (high - low): the range [low, high] to [0, 1].

    Raises:
      ConfigError: high is not above low.
    """
    if not high > low:
        raise ConfigError(f"scale needs high above low, got low={low!r}, high={high!r}")
    width = high - low
    affine = Affine(np.asarray(low, np.float64), np.asarray(width, np.float64))
    return _pointwise(lambda x: (x - low) / width, lambda x: x * width + low, affine)


@PREPROCESSING.register
def standardise(mean: float | Sequence[float], std: float | Sequence[float]) -> Preprocessing:
    """(x - mean) / std, with statistics of the training split.

    Done in float64 on the host where the mean is so many deviations from 0 that float32 would lose
    digits (`ae_jax.data.facts.SHARE`), as is `scale`.

    Args:
      mean: one number, or one a feature of the last axis.
      std: one number above zero, or one a feature of the last axis.

    Raises:
      ConfigError: a standard deviation that is not above zero.
    """
    affine = Affine(np.asarray(mean, np.float64), np.asarray(std, np.float64))
    if not (affine.spread > 0).all():
        raise ConfigError(f"standardise needs std above zero, got {std!r}")
    with np.errstate(over="ignore"):
        centre, spread = affine.centre.astype(np.float32), affine.spread.astype(np.float32)
    return _pointwise(lambda x: (x - centre) / spread, lambda x: x * spread + centre, affine)


@PREPROCESSING.register
def standardise_on_host(
    mean: float | Sequence[float], std: float | Sequence[float]
) -> Preprocessing:
    """`standardise`, in float64 on the host whatever the numbers.

    What is compiled then holds none of them, so that fits to tables of the same shape share their
    programs in JAX's compilation cache.

    Args:
      mean: one number, or one a feature of the last axis.
      std: of the same kind, above zero.

    Raises:
      ConfigError: a standard deviation that is not above zero.
    """
    affine = Affine(np.asarray(mean, np.float64), np.asarray(std, np.float64))
    if not (affine.spread > 0).all():
        raise ConfigError(f"standardise_on_host needs std above zero, got {std!r}")
    return _on_host(affine)


@PREPROCESSING.register
def binarise(how: str = "dynamic", threshold: float = 0.5) -> Preprocessing:
    """Grey levels in [0, 1] to 0 and 1; put `scale` before it.

    Args:
      how: "dynamic": Bernoulli(x) drawn anew every time an example is seen (Salakhutdinov & Murray
        2008; in evaluation, once by its place); "fixed": Bernoulli(x) drawn once for each example
        of the data set; "threshold": x > threshold. Log-likelihoods are comparable only between
        models of the same choice. Where nothing may be random (encode, reconstruct) the first two
        leave x as it is, the mean of what they draw.
      threshold: threshold in [0, 1].

    Raises:
      ConfigError: another choice, or a threshold outside [0, 1].
    """
    if how not in BINARISATIONS:
        raise ConfigError(f"how must be one of {', '.join(BINARISATIONS)}, got {how!r}")
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must lie in [0, 1], got {threshold!r}")
    chosen = BINARISATIONS[how]

    def apply(x, draws=None, train=False):
        del train
        x = jnp.asarray(x, jnp.float32)
        if chosen is None:
            return (x > threshold).astype(jnp.float32)
        if draws is None:
            return x
        uniform = jax.vmap(lambda key: fused_random.uniform(key, x.shape[1:]))(chosen(draws))
        return (uniform < x).astype(jnp.float32)

    return Preprocessing(apply, lambda x: jnp.asarray(x, jnp.float32))


BINARISATIONS: dict[str, Callable[[Draws], Any] | None] = {
    "dynamic": lambda draws: draws.time,
    "fixed": lambda draws: draws.example,
    "threshold": None,
}


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
    on_host = [place for place, part in enumerate(built) if part.host is not None]
    if on_host:
        return _host_first(built[: on_host[-1]], built[on_host[-1]], built[on_host[-1] + 1 :])

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
    return _on_host(host, chain(follows) if follows else None)


def build(node: Any) -> Preprocessing:
    """A Preprocessing from a part, a config node, a name, or a list of these."""
    return (
        chain(node)
        if isinstance(node, list | tuple) and not hasattr(node, "_fields")
        else (PREPROCESSING.build(node))
    )
