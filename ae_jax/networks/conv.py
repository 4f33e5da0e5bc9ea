"""Convolutional encoders and decoders for images of any size."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from ae_jax._registry import NETWORKS
from ae_jax.checks import require_event_rank, require_positive_ints, require_widths
from ae_jax.networks import _layers
from ae_jax.networks.adapters import from_linen
from ae_jax.networks.common import Common
from ae_jax.ops import convolution as _convolution
from ae_jax.types import Array, Network, Shape


def as_image(x: Array, what: str) -> Array:
    """`[H, W]` or `[H, W, C]` as floating `[H, W, C]`.

    Raises:
      ShapeError: any other rank.
    """
    require_event_rank(jnp.shape(x), (2, 3), what, "takes images [H, W] or [H, W, C]")
    x = _layers.floating(x)
    return x[..., None] if x.ndim == 2 else x


def image_shape(output_shape: Shape, what: str) -> tuple[tuple[int, int], int]:
    """Height and width, and the numbers to emit at each position.

    Raises:
      ShapeError: the shape has no two leading axes of positions.
    """
    require_event_rank(output_shape, (2, 3, 4), what, "emits images [H, W, …]")
    height, width, *rest = output_shape
    return (height, width), math.prod(rest)


class Convolution(nn.Module):
    """A convolution of one image with zero padding; `[H, W, C]` to `[⌈H / s⌉, ⌈W / s⌉, O]`."""

    features: int
    kernel: int
    stride: int = 1
    dtype: Any = None
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The image convolved, with a bias added."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return _convolution.convolve(x, kernel, self.stride) + bias


class TransposedConvolution(nn.Module):
    """A transposed convolution of one image, to a size that a `Convolution` takes to x's."""

    features: int
    kernel: int
    stride: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, size: tuple[int, int]) -> Array:
        """`[⌈H / s⌉, ⌈W / s⌉, C]` to `[H, W, O]`, for size (H, W)."""
        # One output sums over 1 / s² of the kernel: LeCun's variance is that many times larger.
        scale = min(self.stride, self.kernel) ** 2
        init = nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal")
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return _convolution.convolve_transposed(x, kernel, size, self.stride) + bias


class _Options(nn.Module):
    output_shape: Shape
    features: Sequence[int]
    kernel: int
    stride: int
    common: Common

    def finish(self, x: Array, i: int, train: bool) -> Array:
        """What follows each convolution but the decoder's last."""
        x = self.common.activate(self.common.normalise(x, f"norm_{i}", train))
        self.sow("intermediates", f"hidden_{i}", x)
        return self.common.drop(x, train)


class ConvEncoder(_Options):
    """Strided convolutions, then one dense layer; sows each hidden layer as `hidden_N`."""

    @nn.compact
    def __call__(
        self, x: Array, extras: Mapping[str, Array] | None = None, train: bool = False
    ) -> Array:
        """`[H, W]` or `[H, W, C]` to `[*output_shape]`."""
        x = as_image(x, "conv")
        for i, width in enumerate(self.features):
            name, dtype = f"conv_{i}", self.common.dtype
            layer = Convolution(width, self.kernel, self.stride, dtype, name=name)
            x = self.finish(layer(x), i, train)
        spatial = len(self.output_shape) == 3 and self.output_shape[:2] == x.shape[:2]
        x = x if spatial else jnp.ravel(x)
        x = self.common.with_condition(x, extras)
        return _layers.emit(x, self.output_shape, self.common.dtype, per_position=spatial)


class ConvDecoder(_Options):
    """One dense layer, then transposed convolutions; sows each hidden layer as `hidden_N`."""

    @nn.compact
    def __call__(
        self, z: Array, extras: Mapping[str, Array] | None = None, train: bool = False
    ) -> Array:
        """`[*latent]` to `[*output_shape]`."""
        dtype, (size, channels) = self.common.dtype, image_shape(self.output_shape, "deconv")
        *sizes, smallest = _convolution.pyramid(size, self.stride, len(self.features))
        z = _layers.floating(z)
        z = z if z.ndim == 3 and z.shape[:2] == smallest else jnp.ravel(z)
        z = self.common.with_condition(z, extras)
        x = self.finish(_layers.unfold(z, smallest, self.features[0], dtype), 0, train)
        widths = (*self.features[1:], channels)
        for i, (width, wanted) in enumerate(zip(widths, reversed(sizes), strict=True)):
            name = f"conv_{i}"
            layer = TransposedConvolution(width, self.kernel, self.stride, dtype, name=name)
            x = layer(x, wanted)
            if i + 1 < len(widths):
                x = self.finish(x, i + 1, train)
        return _layers.at_full_precision(x.reshape(self.output_shape))


def _network(
    module: type[_Options],
    check: Callable[[Shape], Any],
    *,
    features: Sequence[int],
    kernel: int,
    stride: int,
    **options: Any,
) -> Network:
    require_widths(features=features)
    require_positive_ints(kernel=kernel, stride=stride)
    common = Common.of(options)

    def bind(output_shape: Shape):
        check(output_shape)
        return from_linen(module(tuple(output_shape), tuple(features), kernel, stride, common))

    return Network(bind)


@NETWORKS.register
def conv(
    features: Sequence[int] = (32, 64),
    kernel: int = 4,
    stride: int = 2,
    activation: str | Callable[[Array], Array] = "relu",
    normalisation: str | None = None,
    dropout: float = 0.0,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """An encoder of images of any size, `[H, W]` or `[H, W, C]`: convolutions, one dense layer.

    Each convolution (LeCun et al. 1989) takes n positions a side to ⌈n / stride⌉, zeros beyond the
    edges. The dense layer sees all of them flattened, unless it has to emit exactly these
    positions, `[h, w, d]`: then it is applied to each. Weights start as LeCun normal, biases at
    zero. Activations: `hidden_0`, `hidden_1`, ….

    Args:
      features: channels of each convolution.
      kernel: side of the kernels.
      stride: stride of every convolution.
      activation: activation by name, or a function, see `Common`.
      normalisation: None, "batch", "group" or "layer", see `Common`.
      dropout: rate of dropout in training, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when initialised with x of another rank.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.conv((16, 32), normalisation="group").bind((8,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros((28, 28, 1)))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros((28, 28, 1)))[0].shape
      (8,)
    """
    return _network(ConvEncoder, lambda shape: None, **locals())


@NETWORKS.register
def deconv(
    features: Sequence[int] = (64, 32),
    kernel: int = 4,
    stride: int = 2,
    activation: str | Callable[[Array], Array] = "relu",
    normalisation: str | None = None,
    dropout: float = 0.0,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """A decoder to images of any size, `conv` mirrored: one dense layer, transposed convolutions.

    The sizes are those that `conv` passes through, backwards (Zeiler et al. 2010), and what a size
    has too many is cropped, so that odd ones come out exactly. z of shape `[h, w, d]`, h and w the
    smallest size, passes the dense layer position by position.

    Args:
      features: channels before each transposed convolution; `conv`'s reversed.
      kernel: side of the kernels.
      stride: stride of every convolution.
      activation: activation by name, or a function, see `Common`.
      normalisation: None, "batch", "group" or "layer", see `Common`.
      dropout: rate of dropout in training, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when bound to a shape other than `[H, W]`, `[H, W, C]` or `[H, W, C, n]`.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.deconv((32, 16)).bind((27, 31, 3))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros(8))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros(8))[0].shape
      (27, 31, 3)
    """
    return _network(ConvDecoder, functools.partial(image_shape, what="deconv"), **locals())
