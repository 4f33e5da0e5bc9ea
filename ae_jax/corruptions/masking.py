"""Entries replaced by a value: each by itself, or by blocks and patches of positions."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from ae_jax._registry import CORRUPTIONS
from ae_jax.checks import (
    require_order,
    require_part_hidden,
    require_positive_ints,
    require_unit_interval,
)
from ae_jax.corruptions._entries import Corruption, as_value, replace
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, PRNGKey


@CORRUPTIONS.register
def masking(rate: float, value: float = 0.0) -> Corruption:
    """Replaces each entry by one value with probability `rate` (Vincent et al. 2010).

    Args:
      rate: probability of an entry to be replaced.
      value: value in its place; whole if x holds integers.

    Returns:
      A corruption of any x, with `info["mask"]`.

    Raises:
      ConfigError: if `rate` lies outside [0, 1].

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> corrupt = ae.corruptions.masking(rate=1.0, value=-1.0)
      >>> corrupted, info = corrupt(jax.random.key(0), jnp.ones(3))
      >>> corrupted.tolist(), info["mask"].tolist()
      ([-1.0, -1.0, -1.0], [True, True, True])
    """
    require_unit_interval(rate=rate)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        return replace(fused_random.bernoulli(key, rate, jnp.shape(x)), x, value, observed)

    return corrupt


@CORRUPTIONS.register
def salt_and_pepper(rate: float, low: float = 0.0, high: float = 1.0) -> Corruption:
    """Replaces each entry with probability `rate`, by `low` or `high` with equal chance.

    The salt-and-pepper noise of Vincent et al. (2010).

    Args:
      rate: probability of an entry to be replaced.
      low: value of pepper.
      high: value of salt, not below `low`.

    Returns:
      A corruption of any x, with `info["mask"]`.

    Raises:
      ConfigError: if `rate` lies outside [0, 1] or `low` exceeds `high`.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> corrupt = ae.corruptions.salt_and_pepper(rate=0.5)
      >>> corrupted, info = corrupt(jax.random.key(0), jnp.full(100, 0.25))
      >>> sorted(set(corrupted.tolist()))
      [0.0, 0.25, 1.0]
    """
    require_unit_interval(rate=rate)
    require_order(low, high)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        key_hit, key_salt = jax.random.split(key)
        salt = fused_random.bernoulli(key_salt, 0.5, jnp.shape(x))
        dtype = jnp.result_type(x)
        value = jnp.where(salt, as_value(high, dtype), as_value(low, dtype))
        return replace(fused_random.bernoulli(key_hit, rate, jnp.shape(x)), x, value, observed)

    return corrupt


@CORRUPTIONS.register
def block_masking(
    size: int | Sequence[int] | None = None, fraction: float | None = None, value: float = 0.0
) -> Corruption:
    """Replaces one contiguous block, at a random place inside the example.

    The block spans the leading axes of x and all of its last, the channels; an x of rank 1 has no
    channels. Every place at which the block fits is equally likely.

    Args:
      size: sides of the block, or one number for all. Give this or `fraction`.
      fraction: part of the positions to cover, in [0, 1], by a block in the proportions of x:
        its sides are those of x times fraction^(1 / number of sides), rounded.
      value: value in their place; whole if x holds integers.

    Returns:
      A corruption of any x of rank 1 or more, with `info["mask"]`.

    Raises:
      ConfigError: unless exactly one of `size` and `fraction` is given and in range; when called,
        if the block covers no position, or all.
      ShapeError: when called, if x has other axes than `size`, or is smaller.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> corrupt = jax.jit(ae.corruptions.block_masking(size=2))
      >>> corrupted, info = corrupt(jax.random.key(0), jnp.ones((4, 4, 1)))
      >>> int(info["mask"].sum())
      4
    """
    if (size is None) == (fraction is None):
        raise ConfigError(f"give size or fraction, not both, got {size!r} and {fraction!r}")
    if fraction is not None:
        require_unit_interval(fraction=fraction)
    if size is not None:
        _require_sides("size", size)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        space = _spatial_shape(x)
        if fraction is not None:
            sides = tuple(round(side * fraction ** (1 / len(space))) for side in space)
        else:
            sides = _sides("size", size, space)
        if any(side > room for side, room in zip(sides, space, strict=True)):
            raise ShapeError(f"a block of size {sides} does not fit into the positions {space}")
        if 0 in sides or sides == space:
            raise ConfigError(_useless(fraction, sides, space))
        hit = jnp.ones(space, dtype=bool)
        keys = jax.random.split(key, len(space))
        for axis, (side, room) in enumerate(zip(sides, space, strict=True)):
            start = jax.random.randint(keys[axis], (), 0, room - side + 1)
            place = jax.lax.broadcasted_iota(start.dtype, space, axis)
            hit &= (place >= start) & (place < start + side)
        return replace(_over_channels(hit, x), x, value, observed)

    return corrupt


@CORRUPTIONS.register
def patch_masking(patch: int | Sequence[int], rate: float, value: float = 0.0) -> Corruption:
    """Replaces an exact number of random patches, as masked autoencoders do (He et al. 2022).

    The patches tile the leading axes of x and span all of its last, the channels; an x of rank 1
    has no channels. Where x is no multiple of the patch, the last patches are cut off by its edge.

    Args:
      patch: sides of a patch, or one number for all.
      rate: part of the n patches to replace: round(rate · n) of them, at least one, not all.
      value: value in their place; whole if x holds integers.

    Returns:
      A corruption of any x of rank 1 or more, with `info["mask"]` and `info["patch_mask"]`, bool
      and one entry a patch: True where the patch was chosen, observed or not.

    Raises:
      ConfigError: if `rate` lies outside [0, 1] or a side of the patch is not positive; when
        called, if it hides none or all of the patches.
      ShapeError: when called, if x has other axes than `patch`.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> corrupt = jax.jit(ae.corruptions.patch_masking(patch=2, rate=0.75))
      >>> corrupted, info = corrupt(jax.random.key(0), jnp.ones((4, 4, 1)))
      >>> info["patch_mask"].shape, int(info["patch_mask"].sum())
      ((2, 2), 3)
    """
    require_unit_interval(rate=rate)
    _require_sides("patch", patch)

    def choose(key: PRNGKey, grid: tuple[int, ...]) -> Array:
        count = math.prod(grid)
        hidden = require_part_hidden("patch_masking's rate", rate, count)
        return (jax.random.permutation(key, count) < hidden).reshape(grid)

    return _by_patches(choose, patch, value)


@CORRUPTIONS.register
def patch_block_masking(
    patch: int | Sequence[int], rate: float, blocks: int = 4, value: float = 0.0
) -> Corruption:
    """Replaces an exact number of patches that lie in blocks, for I-JEPA (Assran et al. 2023).

    The blocks are as large as cover the rate where none overlap, with sides in a ratio of 3:4 to
    3:2, at random places; what they cover beyond the number is left, and what they lack is taken
    from the rest, patch by patch: their number is fixed, as `ae.networks.vit` needs it, where the
    paper's varies.

    Args:
      patch: sides of a patch, or one number for all.
      rate: part of the n patches to replace: round(rate · n) of them, at least one, not all.
      blocks: number of blocks.
      value: value in their place; whole if x holds integers.

    Returns:
      A corruption as `patch_masking` gives.

    Raises:
      ConfigError: as of `patch_masking`, or blocks no positive whole number.
      ShapeError: when called, if x has other axes than `patch`.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> corrupt = jax.jit(ae.corruptions.patch_block_masking(patch=1, rate=0.25, blocks=1))
      >>> corrupted, info = corrupt(jax.random.key(0), jnp.ones((4, 4, 1)))
      >>> int(info["patch_mask"].sum())
      4
    """
    require_unit_interval(rate=rate)
    require_positive_ints(blocks=blocks)
    _require_sides("patch", patch)

    def choose(key: PRNGKey, grid: tuple[int, ...]) -> Array:
        count, axes = math.prod(grid), len(grid)
        hidden = require_part_hidden("patch_block_masking's rate", rate, count)
        ratios, places, ties = jax.random.split(key, 3)
        ratio = jnp.exp(jax.random.uniform(ratios, (blocks,)) * math.log(2.0)) * 0.75
        room = jnp.asarray(grid, jnp.float32)[None]
        tilt = jnp.linspace(0.5, -0.5, axes)[None] * float(axes > 1)
        sides = room * (rate / blocks) ** (1 / axes) * ratio[:, None] ** tilt
        sides = jnp.clip(jnp.round(sides), 1, room)
        starts = jnp.floor(jax.random.uniform(places, (blocks, axes)) * (room - sides + 1))
        at = jnp.stack(jnp.meshgrid(*map(jnp.arange, grid), indexing="ij"), axis=-1)
        at = at.reshape(1, count, axes).astype(jnp.float32)
        within = (at >= starts[:, None]) & (at < (starts + sides)[:, None])
        covered = jnp.any(jnp.all(within, axis=-1), axis=0).astype(jnp.float32)
        order = jnp.argsort(-(covered + jax.random.uniform(ties, (count,))))
        return jnp.zeros(count, bool).at[order[:hidden]].set(True).reshape(grid)

    return _by_patches(choose, patch, value)


def _by_patches(
    choose: Callable[[PRNGKey, tuple[int, ...]], Array], patch: int | Sequence[int], value: float
) -> Corruption:
    """Replaces the patches that a function of a key and of their grid chooses."""

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        space = _spatial_shape(x)
        sides = _sides("patch", patch, space)
        grid = tuple(-(-room // side) for room, side in zip(space, sides, strict=True))
        hit = chosen = choose(key, grid)
        for axis, (side, room) in enumerate(zip(sides, space, strict=True)):
            hit = jax.lax.slice_in_dim(jnp.repeat(hit, side, axis=axis), 0, room, axis=axis)
        corrupted, info = replace(_over_channels(hit, x), x, value, observed)
        return corrupted, info | {"patch_mask": chosen}

    return corrupt


def _useless(fraction: float | None, sides: tuple[int, ...], space: tuple[int, ...]) -> str:
    covers = f"a block of size {sides} covers {'none' if 0 in sides else 'all'} of {space}"
    if fraction is None:
        return f"{covers}: take a smaller size"
    axes = len(space)
    least, most = (0.5 / min(space)) ** axes, (1 - 0.5 / max(space)) ** axes
    return f"{covers}: fraction={fraction:g} must lie above {least:.3g} and below {most:.3g}"


def _spatial_shape(x: Array) -> tuple[int, ...]:
    """The positions of x: all axes but the channels, which rank 1 does not have."""
    shape = jnp.shape(x)
    if not shape:
        raise ShapeError("x must have rank 1 or more, got shape ()")
    return shape if len(shape) == 1 else shape[:-1]


def _over_channels(hit: jax.Array, x: Array) -> jax.Array:
    return jnp.broadcast_to(hit.reshape(*hit.shape, *(1,) * (jnp.ndim(x) - hit.ndim)), jnp.shape(x))


def _sides(name: str, sides: int | Sequence[int] | None, space: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(sides, int):
        return (sides,) * len(space)
    sides = tuple(sides or ())
    if len(sides) != len(space):
        raise ShapeError(
            f"{name} must have one side for each of the positions {space}, got {sides}"
        )
    return sides


def _require_sides(name: str, sides: int | Sequence[int]) -> None:
    for side in (sides,) if isinstance(sides, int) else sides:
        if isinstance(side, bool) or not isinstance(side, int) or side < 1:
            raise ConfigError(f"{name} must be positive whole numbers, got {sides!r}")
