"""Encoders that emit numbers on their way up, for the levels of a hierarchy of latents."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.networks import _layers
from ae_jax.networks._dense import Dense
from ae_jax.networks.adapters import from_linen
from ae_jax.networks.common import Common
from ae_jax.networks.conv import Convolution, as_image
from ae_jax.networks.resnet import KERNEL, ResidualBlock
from ae_jax.ops import convolution as _convolution
from ae_jax.types import Array, Network, Shape


class _Tapped(nn.Module):
    taps: tuple[Shape, ...]
    width: int
    depth: int
    common: Common

    def tap(self, x: Array, number: int) -> Array:
        """What is emitted of x `[…, c]` at a level, flattened."""
        self.sow("intermediates", f"hidden_{number}", x)
        layer = Dense(self.taps[number][-1], self.common.dtype, name=f"tap_{number}")
        return jnp.ravel(_layers.at_full_precision(layer(x)))


class TappedMLP(_Tapped):
    """Dense layers, after some of which numbers are emitted; sows `hidden_N` at each."""

    @nn.compact
    def __call__(
        self, x: Array, extras: Mapping[str, Array] | None = None, train: bool = False
    ) -> Array:
        """`[*event]` to `[n]`, the taps side by side, the first's first."""
        common, emitted = self.common, []
        x = common.with_condition(_layers.floating(jnp.ravel(x)), extras)
        for number in range(len(self.taps)):
            for i in range(self.depth):
                name = f"{number}_{i}"
                x = Dense(self.width, common.dtype, name=f"dense_{name}")(x)
                x = common.activate(common.normalise(x, f"norm_{name}", train))
            emitted.append(self.tap(x, number))
            x = common.drop(x, train)
        return jnp.concatenate(emitted)


class TappedConv(_Tapped):
    """Residual blocks, the image halved between levels; sows `hidden_N` at each."""

    @nn.compact
    def __call__(
        self, x: Array, extras: Mapping[str, Array] | None = None, train: bool = False
    ) -> Array:
        """`[H, W]` or `[H, W, C]` to `[n]`, the taps side by side, the first's first."""
        common, emitted = self.common, []
        x = as_image(x, "tapped_conv")
        x = common.with_condition(x, extras)
        halvings = _halvings((x.shape[0], x.shape[1]), self.taps)
        x = Convolution(self.width, KERNEL, dtype=common.dtype, name="first")(x)
        for i in range(halvings):
            x = common.activate(self.halved(x, f"first_{i}"))
        for number in range(len(self.taps)):
            x = self.halved(x, f"down_{number}") if number else x
            for i in range(self.depth):
                x = ResidualBlock(self.width, None, common, train, name=f"block_{number}_{i}")(x)
            emitted.append(self.tap(x, number))
        return jnp.concatenate(emitted)

    def halved(self, x: Array, name: str) -> Array:
        """An image of half the height and width, rounded up."""
        return Convolution(self.width, 4, 2, self.common.dtype, name=name)(x)


def _halvings(size: tuple[int, int], taps: tuple[Shape, ...]) -> int:
    """How often an image is halved before the first tap.

    Raises:
      ShapeError: halving it never gives the positions of the taps.
    """
    wanted = [tap[:2] for tap in taps]
    sizes = _convolution.pyramid(size, 2, max(size).bit_length() + len(taps))
    starts = range(len(sizes) - len(taps) + 1)
    fitting = [i for i in starts if sizes[i : i + len(taps)] == wanted]
    if not fitting:
        halves = ", ".join(map(str, dict.fromkeys(sizes)))
        raise ShapeError(
            f"tapped_conv emits {wanted} positions, which an image of shape {size} never has where "
            f"it is halved to {halves}: take levels of such sizes"
        )
    return fitting[0]


def _network(module: type[_Tapped], taps: Any, rank: int, **options: Any) -> Network:
    shapes = _shapes(taps, rank)
    width, depth = options.pop("width"), options.pop("depth")
    require_positive_ints(width=width, depth=depth)
    common, size = Common.of(options), sum(map(math.prod, shapes))

    def bind(output_shape: Shape):
        if tuple(output_shape) != (size,):
            raise ShapeError(
                f"the taps {taps!r} are {size} numbers together, but {tuple(output_shape)} are "
                "wanted: take those of the bottleneck's levels"
            )
        return from_linen(module(shapes, width, depth, common))

    return Network(bind)


def _shapes(taps: Any, rank: int) -> tuple[Shape, ...]:
    as_shape = lambda tap: tuple(tap) if isinstance(tap, list | tuple) else (tap,)
    shapes = tuple(map(as_shape, taps)) if isinstance(taps, list | tuple) else ()
    if not shapes or {len(shape) for shape in shapes} != {rank}:
        wanted = {1: "sizes, e.g. (32, 16)", 3: "images, e.g. ((14, 14, 8), (7, 7, 8))"}[rank]
        raise ConfigError(f"taps must be a row of {wanted}, got {taps!r}")
    for shape in shapes:
        for size in shape:
            require_positive_ints(taps=size)
    return shapes


@NETWORKS.register
def tapped_mlp(
    taps: Sequence[int],
    width: int = 128,
    depth: int = 2,
    activation: str | Callable[[Array], Array] = "silu",
    normalisation: str | None = None,
    dropout: float = 0.0,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """Dense layers that emit numbers on their way up, one tap a latent (Sønderby et al. 2016).

    The encoder of `ae.bottlenecks.ladder` and `top_down` of vectors: `depth` layers lead from x, or
    from the level below, to each tap, which is a dense layer without activation. Its output is the
    taps side by side. Activations: `hidden_0`, `hidden_1`, …, one a tap.

    Args:
      taps: numbers to emit at each level, the bottom's first: for levels of d numbers 2 d of
        `ladder`, the width of `top_down`.
      width: width of the layers.
      depth: layers before each tap.
      activation: activation by name, or a function, see `Common`.
      normalisation: None, "batch", "group" or "layer", see `Common`.
      dropout: rate of dropout in training, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: taps that are no sizes, or another option out of range.
      ShapeError: when bound to another shape than that of all taps together.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.tapped_mlp((8, 4), width=16).bind((12,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros((8, 8, 1)))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros((8, 8, 1)))[0].shape
      (12,)
    """
    return _network(TappedMLP, rank=1, **locals())


@NETWORKS.register
def tapped_conv(
    taps: Sequence[tuple[int, int, int]],
    width: int = 32,
    depth: int = 1,
    activation: str | Callable[[Array], Array] = "silu",
    dropout: float = 0.0,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """Residual blocks that emit images on their way up, one tap a latent (Child 2021).

    The encoder of `ae.bottlenecks.top_down` and `ladder` of images: one convolution, the image
    halved until it has the first tap's positions and again between taps, `depth` residual blocks
    and a dense layer at each position before each. Its output is the taps flattened side by side.
    Activations: `hidden_0`, `hidden_1`, …, one a tap.

    Args:
      taps: images `(height, width, channels)` to emit at each level, the bottom's first: for levels
        of d channels 2 d channels of `ladder`, the width of `top_down`.
      width: channels of the convolutions.
      depth: residual blocks before each tap.
      activation: activation by name, or a function, see `Common`.
      dropout: rate of dropout in training, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append to x, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: taps that are no images, or another option out of range.
      ShapeError: when bound to another shape than that of all taps together, or when initialised
        with an image that halving does not bring to the taps' sizes.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.tapped_conv(((4, 4, 2), (2, 2, 4)), width=4).bind((48,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros((8, 8, 1)))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros((8, 8, 1)))[0].shape
      (48,)
    """
    return _network(TappedConv, rank=3, normalisation="group", **locals())
