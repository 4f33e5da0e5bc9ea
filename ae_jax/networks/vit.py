"""Vision transformers over patches, and masked autoencoders of them."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.checks import require_below_one, require_part_hidden, require_positive_ints
from ae_jax.errors import ShapeError
from ae_jax.networks import _attention, _layers
from ae_jax.networks._dense import Dense
from ae_jax.networks._patches import Patches
from ae_jax.networks.adapters import from_linen
from ae_jax.networks.common import Common
from ae_jax.networks.transformer import require_pool
from ae_jax.types import Array, Network, Shape


class ViTEncoder(nn.Module):
    """Visible patches and their positions through blocks, then one dense layer."""

    output_shape: Shape
    patch: int | Sequence[int]
    width: int
    depth: int
    heads: int
    mask_rate: float
    pool: str
    common: Common

    @nn.compact
    def __call__(
        self,
        x: Array,
        extras: Mapping[str, Array] | None = None,
        info: Mapping[str, Array] | None = None,
        train: bool = False,
    ) -> Array:
        """`[*event]` to `[*output_shape]`."""
        patches, shape = Patches.of(jnp.shape(x), self.patch, "vit"), self.output_shape
        per_patch = self.pool == "none"
        if per_patch and not patches.are_positions(shape):
            grid = ", ".join(map(str, patches.grid))
            raise ShapeError(
                f"vit with pool='none' emits ({patches.number}, d) or ({grid}, d) for x of shape "
                f"{jnp.shape(x)}, but must emit {shape}"
            )
        x, hidden = patches.cut(_layers.floating(x)), patches.mask(info)
        hidden = None if self.mask_rate == 0 else hidden
        visible = seen = None
        if self.mask_rate:
            number = require_part_hidden("vit's mask_rate", self.mask_rate, patches.number)
            if hidden is not None and train:  # their number is fixed, so that shapes are
                visible = jnp.argsort(hidden, stable=True)[: patches.number - number]
                x = x[visible]
            elif hidden is not None:
                seen = ~hidden
        x = Dense(self.width, dtype=self.common.dtype, name="patches")(x)
        stack = _attention.Stack(self.depth, self.heads, self.common, name="stack")
        x = _attention.with_positions(self, x, patches.number, visible)
        x, _ = stack(x, seen, train=train)
        x = x if seen is None else jnp.where(seen[:, None], x, 0)
        if self.pool == "mean":
            x = jnp.mean(x, axis=0) if seen is None else jnp.sum(x, axis=0) / jnp.sum(seen)
        elif visible is not None and not per_patch:
            x = jnp.zeros((patches.number, self.width), x.dtype).at[visible].set(x)
        self.sow("intermediates", "features", x)
        x = x if per_patch else jnp.ravel(x)
        x = self.common.with_condition(x, extras)
        if not per_patch:
            return _layers.emit(x, shape, self.common.dtype, per_position=False)
        y = _layers.emit(x, (len(x), shape[-1]), self.common.dtype, per_position=True)
        if visible is not None:
            y = jnp.zeros((patches.number, shape[-1]), y.dtype).at[visible].set(y)
        elif seen is not None:
            y = jnp.where(seen[:, None], y, 0)
        return y.reshape(shape)


class ViTDecoder(nn.Module):
    """A vector or a mask token at every patch, and its position, through blocks, to its numbers."""

    output_shape: Shape
    patch: int | Sequence[int]
    width: int
    depth: int
    heads: int
    common: Common

    @nn.compact
    def __call__(
        self,
        z: Array,
        extras: Mapping[str, Array] | None = None,
        info: Mapping[str, Array] | None = None,
        train: bool = False,
    ) -> Array:
        """`[*latent]` to `[*output_shape]`."""
        patches = Patches.of(self.output_shape, self.patch, "vit_decoder")
        small = nn.initializers.normal(_attention.POSITION_SCALE)
        z = _layers.floating(z)
        per_patch = patches.are_positions(z.shape)
        z = z.reshape(patches.number, -1) if per_patch else jnp.ravel(z)
        z = self.common.with_condition(z, extras)
        x = _layers.unfold(z, (patches.number,), self.width, self.common.dtype)
        if per_patch:
            token, hidden = self.param("mask_token", small, (self.width,)), patches.mask(info)
            x = x if hidden is None else jnp.where(hidden[:, None], token.astype(x.dtype), x)
        x = _attention.with_positions(self, x, patches.number)
        stack = _attention.Stack(self.depth, self.heads, self.common, name="stack")
        x, _ = stack(x, train=train)
        y = Dense(patches.size, dtype=self.common.dtype, name="output")(x)
        return _layers.at_full_precision(patches.join(y))


def _require_options(patch: int | Sequence[int], width: int, depth: int, heads: int) -> None:
    for side in (patch,) if isinstance(patch, int) else patch:
        require_positive_ints(patch=side)
    require_positive_ints(depth=depth)
    _attention.require_heads(width, heads)


@NETWORKS.register
def vit(
    patch: int | Sequence[int] = 4,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    mask_rate: float = 0.0,
    pool: str = "flatten",
    dropout: float = 0.0,
    remat: bool = False,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """An encoder by patches and self-attention (Dosovitskiy et al. 2021), masked or not.

    The patches tile all axes but the last, as those of `ae.corruptions.patch_masking` do: images
    `[H, W, C]`, series `[T, C]`, volumes; zeros fill those that reach beyond the edge. With
    `mask_rate`, the rate given to that corruption, only the patches that it leaves are processed in
    training (He et al. 2022): `n - round(mask_rate · n)` of n. In evaluation hidden patches, of any
    number, are not looked at, which gives the same; without a mask every patch is. Learned
    positions. Activation: `features`, what is pooled.

    Numbers are dropped after attention and after the dense layers of a block.

    Args:
      patch: sides of a patch, or one number for all. With as many sides as fit, the axes that they
        leave are channels.
      width: width of the blocks.
      depth: number of blocks; beyond 12, or with remat, one of them is compiled.
      heads: heads of attention; they divide the width.
      mask_rate: part of the patches that is hidden, in [0, 1).
      pool: what the last dense layer sees: "flatten", all patches side by side, zeros where they
        are hidden; "mean", the mean of the visible ones; "none", each by itself, to emit `(n, d)`
        or `(*grid, d)`, zeros where they are hidden.
      dropout: rate of dropout in training, see `Common`.
      remat: whether blocks are computed again in the backward pass, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: x has fewer axes than the patch, "none" cannot emit the shape, or the mask is one
        of other patches.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.vit(patch=7, width=16, depth=1).bind((8,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros((28, 28, 1)))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros((28, 28, 1)))[0].shape
      (8,)
    """
    common = Common.of(locals())
    _require_options(patch, width, depth, heads)
    require_below_one(mask_rate=mask_rate)
    require_pool(pool)
    sides = patch if isinstance(patch, int) else tuple(patch)

    def bind(shape: Shape):
        blocks = width, depth, heads
        return from_linen(ViTEncoder(tuple(shape), sides, *blocks, mask_rate, pool, common))

    return Network(bind)


@NETWORKS.register
def vit_decoder(
    patch: int | Sequence[int] = 4,
    width: int = 128,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.0,
    remat: bool = False,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """A decoder to patches by self-attention, `vit` mirrored.

    z of one vector a patch, `(n, d)` or `(*grid, d)`, goes patch by patch, a learned mask token in
    the place of those that `info["patch_mask"]` hides (He et al. 2022); any other z is flattened
    and enters at every patch through weights of its own.

    Numbers are dropped after attention and after the dense layers of a block.

    Args:
      patch: sides of a patch, or one number for all axes but the last; the encoder's.
      width: width of the blocks.
      depth: number of blocks; beyond 12, or with remat, one of them is compiled.
      heads: heads of attention; they divide the width.
      dropout: rate of dropout in training, see `Common`.
      remat: whether blocks are computed again in the backward pass, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when bound to a shape of fewer axes than the patch; the mask is one of other
        patches.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.vit_decoder(patch=7, width=16, depth=1).bind((28, 28, 1))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros((4, 4, 16)))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros((4, 4, 16)))[0].shape
      (28, 28, 1)
    """
    common = Common.of(locals())
    _require_options(patch, width, depth, heads)
    sides = patch if isinstance(patch, int) else tuple(patch)

    def bind(shape: Shape):
        Patches.of(shape, patch, "vit_decoder")
        return from_linen(ViTDecoder(tuple(shape), sides, width, depth, heads, common))

    return Network(bind)
