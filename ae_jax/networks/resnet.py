"""Residual encoders and decoders for images of any size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.checks import require_positive_ints, require_widths
from ae_jax.errors import ConfigError
from ae_jax.networks import _attention, _layers
from ae_jax.networks._dense import Dense
from ae_jax.networks.adapters import from_linen
from ae_jax.networks.common import Common
from ae_jax.networks.conv import Convolution, as_image, image_shape
from ae_jax.ops import convolution as _convolution
from ae_jax.types import Array, Network, Shape

KERNEL = 3


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), the identity at first, x through 1 × 1 if it must.

    With heads, self-attention over all positions is added after it.
    """

    width: int
    heads: int | None
    common: Common
    train: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[H, W, C]` to `[H, W, width]`."""
        common, dtype = self.common, self.common.dtype
        h = common.activate(common.normalise(x, "norm_0", self.train))
        h = Convolution(self.width, KERNEL, dtype=dtype, name="conv_0")(h)
        h = common.activate(common.normalise(h, "norm_1", self.train))
        h = common.drop(h, self.train)
        zeros = nn.initializers.zeros
        layer = Convolution(self.width, KERNEL, dtype=dtype, kernel_init=zeros, name="conv_1")
        if x.shape[-1] != self.width:
            x = Dense(self.width, dtype=dtype, name="skip")(x)
        x = x + layer(h)
        if self.heads is None:
            return x
        h = common.normalise(x, "norm_attention", self.train).reshape(-1, self.width)
        h, _ = _attention.Attention(self.heads, dtype, name="attention")(h)
        return x + h.reshape(x.shape)


class _ResNet(nn.Module):
    output_shape: Shape
    features: Sequence[int]
    depth: int
    attention_at: int | bool
    heads: int
    common: Common

    def block(self, x: Array, width: int, name: str, train: bool, lowest: bool = False) -> Array:
        """A residual block, with attention where the image is small enough."""
        limit = self.attention_at
        attends = (limit and lowest) if isinstance(limit, bool) else max(x.shape[:2]) <= limit
        block = nn.remat(ResidualBlock) if self.common.remat else ResidualBlock
        return block(width, self.heads if attends else None, self.common, train, name=name)(x)

    def middle(self, x: Array, train: bool) -> Array:
        """Two blocks at the lowest resolution, attention after the first if anywhere."""
        x = self.block(x, x.shape[-1], "middle_0", train, lowest=True)
        return self.block(x, x.shape[-1], "middle_1", train)

    def ready(self, x: Array, train: bool) -> Array:
        """The last normalisation and activation."""
        return self.common.activate(self.common.normalise(x, "norm", train))


class ResNetEncoder(_ResNet):
    """Residual blocks, the image halved after each stage, then one dense layer."""

    @nn.compact
    def __call__(
        self, x: Array, extras: Mapping[str, Array] | None = None, train: bool = False
    ) -> Array:
        """`[H, W]` or `[H, W, C]` to `[*output_shape]`."""
        x = as_image(x, "resnet")
        x = Convolution(self.features[0], KERNEL, dtype=self.common.dtype, name="first")(x)
        for i, width in enumerate(self.features):
            for j in range(self.depth):
                x = self.block(x, width, f"stage_{i}_{j}", train)
            x = Convolution(width, KERNEL, 2, self.common.dtype, name=f"down_{i}")(x)
        x = self.ready(self.middle(x, train), train)
        self.sow("intermediates", "features", x)
        spatial = len(self.output_shape) == 3 and self.output_shape[:2] == x.shape[:2]
        x = x if spatial else jnp.ravel(x)
        x = self.common.with_condition(x, extras)
        return _layers.emit(x, self.output_shape, self.common.dtype, per_position=spatial)


class ResNetDecoder(_ResNet):
    """One dense layer, then residual blocks, the image doubled before each stage."""

    @nn.compact
    def __call__(
        self, z: Array, extras: Mapping[str, Array] | None = None, train: bool = False
    ) -> Array:
        """`[*latent]` to `[*output_shape]`."""
        size, channels = image_shape(self.output_shape, "resnet_decoder")
        *sizes, smallest = _convolution.pyramid(size, 2, len(self.features))
        z = _layers.floating(z)
        z = z if z.ndim == 3 and z.shape[:2] == smallest else jnp.ravel(z)
        z = self.common.with_condition(z, extras)
        x = self.middle(_layers.unfold(z, smallest, self.features[0], self.common.dtype), train)
        for i, (width, (height, wide)) in enumerate(
            zip(self.features, reversed(sizes), strict=True)
        ):
            x = jnp.repeat(jnp.repeat(x, 2, axis=0), 2, axis=1)[:height, :wide]
            x = Convolution(width, KERNEL, dtype=self.common.dtype, name=f"up_{i}")(x)
            for j in range(self.depth):
                x = self.block(x, width, f"stage_{i}_{j}", train)
        x = Convolution(channels, KERNEL, dtype=self.common.dtype, name="last")(
            self.ready(x, train)
        )
        return _layers.at_full_precision(x.reshape(self.output_shape))


def _network(
    module: type[_ResNet],
    check: Callable[[Shape], Any],
    *,
    features: Sequence[int],
    depth: int,
    attention_at: int | bool,
    heads: int,
    **options: Any,
) -> Network:
    require_widths(features=features)
    require_positive_ints(depth=depth)
    for width in features:
        _attention.require_heads(width, heads)
    if not isinstance(attention_at, bool | int) or attention_at < 0:
        raise ConfigError(
            f"attention_at must be a side in pixels, True or False, got {attention_at!r}"
        )
    stages, common = tuple(features), Common.of(options | {"normalisation": "group"})

    def bind(shape: Shape):
        check(shape)
        return from_linen(module(tuple(shape), stages, depth, attention_at, heads, common))

    return Network(bind)


@NETWORKS.register
def resnet(
    features: Sequence[int] = (64, 128, 256),
    depth: int = 2,
    attention_at: int | bool = False,
    heads: int = 1,
    activation: str | Callable[[Array], Array] = "silu",
    dropout: float = 0.0,
    remat: bool = False,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """An encoder of images `[H, W]` or `[H, W, C]` of any size by residual blocks (He et al. 2016).

    Each stage is `depth` blocks and a convolution that halves the image, ⌈n / 2⌉ of n positions a
    side; two blocks and one dense layer follow. Group normalisation before each convolution (Wu &
    He 2018), in as many groups, up to 32, as divide the channels and hold four. The dense layer
    sees all positions flattened, unless it has to emit exactly these, `[h, w, d]`: then it is
    applied to each. Activation: `features`, what it sees.

    Numbers are dropped before the second convolution of each block.

    Args:
      features: channels of each stage.
      depth: blocks a stage.
      attention_at: longest side of the images after whose blocks there is self-attention, as in Ho
        et al. 2020; True: once, at the lowest resolution; False: nowhere.
      heads: heads of attention; they divide the channels.
      activation: activation by name, or a function, see `Common`.
      dropout: rate of dropout in training, see `Common`.
      remat: whether blocks are computed again in the backward pass, see `Common`.
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
      >>> coder = ae.networks.resnet((8, 16), depth=1).bind((8,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros((28, 28, 1)))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros((28, 28, 1)))[0].shape
      (8,)
    """
    return _network(ResNetEncoder, lambda shape: None, **locals())


@NETWORKS.register
def resnet_decoder(
    features: Sequence[int] = (256, 128, 64),
    depth: int = 2,
    attention_at: int | bool = False,
    heads: int = 1,
    activation: str | Callable[[Array], Array] = "silu",
    dropout: float = 0.0,
    remat: bool = False,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """A decoder to images of any size by residual blocks, `resnet` mirrored.

    One dense layer and two blocks at the lowest resolution, then stages: every position repeated
    twice a side, cropped to the size that `resnet` had there, a convolution, `depth` blocks. z of
    shape `[h, w, d]`, h and w the smallest size, passes the dense layer position by position.

    Numbers are dropped before the second convolution of each block.

    Args:
      features: channels of each stage; `resnet`'s reversed.
      depth: blocks a stage.
      attention_at: longest side of the images after whose blocks there is self-attention, as in Ho
        et al. 2020; True: once, at the lowest resolution; False: nowhere.
      heads: heads of attention; they divide the channels.
      activation: activation by name, or a function, see `Common`.
      dropout: rate of dropout in training, see `Common`.
      remat: whether blocks are computed again in the backward pass, see `Common`.
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
      >>> coder = ae.networks.resnet_decoder((16, 8), depth=1).bind((28, 28, 1))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros(8))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros(8))[0].shape
      (28, 28, 1)
    """
    return _network(ResNetDecoder, lambda s: image_shape(s, "resnet_decoder"), **locals())
