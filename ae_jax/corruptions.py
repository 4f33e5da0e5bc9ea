"""Corruptions: what the encoder sees in place of x, for denoising and masked autoencoders.

A corruption is a pure function of one example of any event shape,

    (key, x, observed) -> (x̃, info)

`observed` is None or a bool array of the shape of x; entries that are not observed stay as they
are. x̃ has the shape and dtype of x. `info` is a dict: corruptions that replace entries put `"mask"`
in it, a bool array of the shape of x, **True where the entry was replaced**, False where x was
kept, and so False where not observed. Rates are probabilities an entry, in [0, 1].

Gaussian, masking and salt-and-pepper noise: Vincent et al., "Stacked denoising autoencoders", 2010.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from ae_jax import fused_random
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.registry import CORRUPTIONS
from ae_jax.types import Array, PRNGKey

Corruption = Callable[[PRNGKey, Array, Array | None], tuple[jax.Array, dict[str, jax.Array]]]


@CORRUPTIONS.register
def none() -> Corruption:
    """The identity: x̃ = x, for autoencoders that do not denoise."""

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        return jnp.asarray(x), {}

    return corrupt


@CORRUPTIONS.register
def gaussian(std: float, mean: float = 0.0) -> Corruption:
    """Adds noise of the normal distribution, x̃ = x + mean + std · ε, entry by entry.

    Args:
      std: standard deviation of the noise, not negative.
      mean: mean of the noise.

    Returns:
      A corruption of floating x.

    Raises:
      ConfigError: if `std` is negative, or, when called, if x is not floating.
    """
    _require_std(std)
    return _noise(lambda key, x: x + (mean + std * fused_random.normal(key, x.shape, x.dtype)))


@CORRUPTIONS.register
def uniform(low: float, high: float) -> Corruption:
    """Adds noise of the uniform distribution on [low, high), entry by entry.

    Args:
      low: the least noise.
      high: the most, not below `low`.

    Returns:
      A corruption of floating x.

    Raises:
      ConfigError: if `low` exceeds `high`, or, when called, if x is not floating.
    """
    _require_order(low, high)
    return _noise(lambda key, x: x + fused_random.uniform(key, x.shape, x.dtype, low, high))


@CORRUPTIONS.register
def multiplicative(std: float) -> Corruption:
    """Multiplies by noise of the normal distribution, x̃ = x · (1 + std · ε), entry by entry.

    Args:
      std: standard deviation of the factor, not negative.

    Returns:
      A corruption of floating x.

    Raises:
      ConfigError: if `std` is negative, or, when called, if x is not floating.
    """
    _require_std(std)
    return _noise(lambda key, x: x * (1.0 + std * fused_random.normal(key, x.shape, x.dtype)))


@CORRUPTIONS.register
def masking(rate: float, value: float = 0.0) -> Corruption:
    """Replaces each entry by one value with probability `rate`.

    Args:
      rate: probability of an entry to be replaced.
      value: what replaces it; whole if x holds integers.

    Returns:
      A corruption of any x, with `info["mask"]`.

    Raises:
      ConfigError: if `rate` lies outside [0, 1].
    """
    _require_rate(rate)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        return _replace(fused_random.bernoulli(key, rate, jnp.shape(x)), x, value, observed)

    return corrupt


@CORRUPTIONS.register
def token_masking(rate: float, mask_token: int) -> Corruption:
    """Replaces each token by the mask token with probability `rate`.

    Args:
      rate: probability of a token to be replaced.
      mask_token: what replaces it.

    Returns:
      A corruption of integer x, with `info["mask"]`.

    Raises:
      ConfigError: if `rate` lies outside [0, 1], `mask_token` is not a whole number, or, when
        called, if x does not hold integers.
    """
    if isinstance(mask_token, bool) or not isinstance(mask_token, int):
        raise ConfigError(f"mask_token must be a whole number, got {mask_token!r}")
    mask = masking(rate, mask_token)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
            raise ConfigError(f"token_masking needs integer x, got {jnp.result_type(x)}")
        return mask(key, x, observed)

    return corrupt


@CORRUPTIONS.register
def salt_and_pepper(rate: float, low: float = 0.0, high: float = 1.0) -> Corruption:
    """Replaces each entry with probability `rate`, by `low` or `high` with equal chance.

    Args:
      rate: probability of an entry to be replaced.
      low: pepper.
      high: salt, not below `low`.

    Returns:
      A corruption of any x, with `info["mask"]`.

    Raises:
      ConfigError: if `rate` lies outside [0, 1] or `low` exceeds `high`.
    """
    _require_rate(rate)
    _require_order(low, high)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        key_hit, key_salt = jax.random.split(key)
        salt = fused_random.bernoulli(key_salt, 0.5, jnp.shape(x))
        dtype = jnp.result_type(x)
        value = jnp.where(salt, _as_value(high, dtype), _as_value(low, dtype))
        return _replace(fused_random.bernoulli(key_hit, rate, jnp.shape(x)), x, value, observed)

    return corrupt


@CORRUPTIONS.register
def block_masking(
    size: int | Sequence[int] | None = None, fraction: float | None = None, value: float = 0.0
) -> Corruption:
    """Replaces one contiguous block, at a random place inside the example.

    The block spans the leading axes of x and all of its last, the channels; an x of rank 1 has no
    channels. Every place at which the block fits is equally likely.

    Args:
      size: the block's sides, or one number for all. Give this or `fraction`.
      fraction: the part of the positions to cover, in [0, 1], by a block in the proportions of x:
        its sides are those of x times fraction^(1 / number of sides), rounded.
      value: what replaces the entries; whole if x holds integers.

    Returns:
      A corruption of any x of rank 1 or more, with `info["mask"]`.

    Raises:
      ConfigError: unless exactly one of `size` and `fraction` is given and in range.
      ShapeError: when called, if x has other axes than `size`, or is smaller.
    """
    if (size is None) == (fraction is None):
        raise ConfigError(f"give size or fraction, not both, got {size!r} and {fraction!r}")
    if fraction is not None:
        _require_rate(fraction, "fraction")
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
        hit = jnp.ones(space, dtype=bool)
        keys = jax.random.split(key, len(space))
        for axis, (side, room) in enumerate(zip(sides, space, strict=True)):
            start = jax.random.randint(keys[axis], (), 0, room - side + 1)
            place = jax.lax.broadcasted_iota(start.dtype, space, axis)
            hit &= (place >= start) & (place < start + side)
        return _replace(_over_channels(hit, x), x, value, observed)

    return corrupt


@CORRUPTIONS.register
def patch_masking(patch: int | Sequence[int], rate: float, value: float = 0.0) -> Corruption:
    """Replaces an exact number of patches, chosen at random, as masked autoencoders do.

    The patches tile the leading axes of x and span all of its last, the channels; an x of rank 1
    has no channels. Where x is no multiple of the patch, the last patches are cut off by its edge.

    Args:
      patch: the patch's sides, or one number for all.
      rate: the part of the n patches to replace, in [0, 1]: round(rate · n) of them.
      value: what replaces the entries; whole if x holds integers.

    Returns:
      A corruption of any x of rank 1 or more, with `info["mask"]` and `info["patch_mask"]`, bool
      and one entry a patch: True where the patch was chosen, observed or not.

    Raises:
      ConfigError: if `rate` lies outside [0, 1] or a side of the patch is not positive.
      ShapeError: when called, if x has other axes than `patch`.

    References:
      He et al., "Masked autoencoders are scalable vision learners", 2022.
    """
    _require_rate(rate)
    _require_sides("patch", patch)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        space = _spatial_shape(x)
        sides = _sides("patch", patch, space)
        grid = tuple(-(-room // side) for room, side in zip(space, sides, strict=True))
        count = math.prod(grid)
        chosen = (jax.random.permutation(key, count) < round(rate * count)).reshape(grid)
        hit = chosen
        for axis, (side, room) in enumerate(zip(sides, space, strict=True)):
            hit = jax.lax.slice_in_dim(jnp.repeat(hit, side, axis=axis), 0, room, axis=axis)
        corrupted, info = _replace(_over_channels(hit, x), x, value, observed)
        return corrupted, info | {"patch_mask": chosen}

    return corrupt


@CORRUPTIONS.register
def token_swapping(rate: float) -> Corruption:
    """Exchanges the entries at random positions: the same entries, in another order.

    Each position, one entry of x whatever its rank, is chosen with probability `rate`; the chosen
    ones pass their entries around in one random cycle, so that all of them move. One position
    chosen alone stays.

    Args:
      rate: probability of a position to be chosen.

    Returns:
      A corruption of any x, with `info["mask"]`, True where the entry came from elsewhere (even
      if that one was equal).

    Raises:
      ConfigError: if `rate` lies outside [0, 1].
    """
    _require_rate(rate)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        x = jnp.asarray(x)
        key_chosen, key_order = jax.random.split(key)
        chosen = (fused_random.bernoulli(key_chosen, rate, x.shape) & _seen(x, observed)).ravel()
        place = jnp.arange(x.size)
        bits = jax.random.bits(key_order, (x.size,), jnp.uint32)
        # The chosen positions in random order, then the others.
        _, _, cycle = jax.lax.sort((~chosen, bits, place), num_keys=2)
        count = jnp.sum(chosen)
        following = jnp.where(place + 1 < count, place + 1, 0)
        source = place.at[cycle].set(jnp.where(place < count, cycle[following], cycle))
        return x.ravel()[source].reshape(x.shape), {"mask": (source != place).reshape(x.shape)}

    return corrupt


def _noise(noisy: Callable[[PRNGKey, jax.Array], jax.Array]) -> Corruption:
    """A corruption of floating x, computed in float32 or better."""

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ConfigError(f"noise needs floating x, got {x.dtype}")
        precise = x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
        return jnp.where(_seen(x, observed), noisy(key, precise).astype(x.dtype), x), {}

    return corrupt


def _replace(hit: jax.Array, x: Array, value: Array | float, observed: Array | None):
    x = jnp.asarray(x)
    mask = hit & _seen(x, observed)
    return jnp.where(mask, _as_value(value, x.dtype), x), {"mask": mask}


def _as_value(value: Array | float, dtype: jnp.dtype) -> Array:
    """The value in x's dtype; among integers one that does not fit is an error, not truncated."""
    if not isinstance(value, int | float):
        return value
    if jnp.issubdtype(dtype, jnp.integer):
        limits = jnp.iinfo(dtype)
        if not (float(value).is_integer() and limits.min <= value <= limits.max):
            raise ConfigError(f"value must fit x of dtype {dtype}, got {value!r}")
    return jnp.asarray(value, dtype)


def _seen(x: jax.Array, observed: Array | None) -> jax.Array:
    if observed is None:
        return jnp.ones(x.shape, dtype=bool)
    if jnp.shape(observed) != x.shape:
        raise ShapeError(f"observed must have x's shape {x.shape}, got {jnp.shape(observed)}")
    return jnp.asarray(observed, dtype=bool)


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


def _require_rate(rate: float, name: str = "rate") -> None:
    if not 0.0 <= rate <= 1.0:
        raise ConfigError(f"{name} must lie in [0, 1], got {rate!r}")


def _require_std(std: float) -> None:
    if not std >= 0.0:
        raise ConfigError(f"std must not be negative, got {std!r}")


def _require_order(low: float, high: float) -> None:
    if not low <= high:
        raise ConfigError(f"low must not exceed high, got {low!r} and {high!r}")
