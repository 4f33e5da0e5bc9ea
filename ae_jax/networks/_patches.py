"""How an event falls into patches, and becomes whole again."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from ae_jax.errors import ShapeError
from ae_jax.types import Array, Shape

MASK = "patch_mask"


class Patches(NamedTuple):
    """How an event falls into patches: its leading axes are tiled, the others are channels.

    Attributes:
      shape: shape of the event.
      sides: sides of a patch.
      grid: patches along each tiled axis; the last of them may reach beyond the event's edge.
    """

    shape: Shape
    sides: Shape
    grid: Shape

    @classmethod
    def of(cls, shape: Shape, patch: int | Sequence[int], what: str) -> "Patches":
        """The patches of an event; one number for patch tiles all axes but the last.

        Raises:
          ShapeError: the event has fewer axes than the patch, or none.
        """
        shape = tuple(shape)
        axes = max(len(shape) - 1, 1) if isinstance(patch, int) else len(patch)
        if len(shape) < axes:
            raise ShapeError(f"{what} with patch={patch!r} needs as many axes, got shape {shape}")
        sides = (patch,) * axes if isinstance(patch, int) else tuple(patch)
        grid = tuple(-(-n // side) for n, side in zip(shape, sides, strict=False))
        return cls(shape, sides, grid)

    @property
    def number(self) -> int:
        """The number of patches."""
        return math.prod(self.grid)

    @property
    def channels(self) -> int:
        """Numbers at each position."""
        return math.prod(self.shape[len(self.grid) :])

    @property
    def size(self) -> int:
        """Numbers in each patch."""
        return math.prod(self.sides) * self.channels

    def cut(self, x: Array) -> Array:
        """`[*shape]` to `[number, size]`, zeros beyond the edge."""
        axes = len(self.grid)
        tiled = zip(self.grid, self.sides, self.shape, strict=False)
        pads = [(0, count * side - n) for count, side, n in tiled]
        x = jnp.pad(x.reshape(*self.shape[:axes], self.channels), (*pads, (0, 0)))
        pairs = [n for pair in zip(self.grid, self.sides, strict=True) for n in pair]
        x = x.reshape(*pairs, self.channels)
        order = (*range(0, 2 * axes, 2), *range(1, 2 * axes, 2), 2 * axes)
        return x.transpose(order).reshape(self.number, self.size)

    def join(self, patches: Array) -> Array:
        """`[number, size]` back to `[*shape]`, what reaches beyond the edge cropped."""
        axes = len(self.grid)
        x = patches.reshape(*self.grid, *self.sides, self.channels)
        order = [n for pair in zip(range(axes), range(axes, 2 * axes), strict=True) for n in pair]
        x = x.transpose(*order, 2 * axes)
        padded = [count * side for count, side in zip(self.grid, self.sides, strict=True)]
        x = x.reshape(*padded, self.channels)
        return x[tuple(slice(n) for n in self.shape[:axes])].reshape(self.shape)

    def mask(self, info: Mapping[str, Array] | None) -> Array | None:
        """`info["patch_mask"]`, bool `[number]`, True where a patch is hidden; None without one.

        Raises:
          ShapeError: it is the mask of other patches.
        """
        if not info or MASK not in info:
            return None
        if jnp.shape(info[MASK]) != self.grid:
            raise ShapeError(
                f"info['{MASK}'] must have shape {self.grid}, as {self.sides} patches of "
                f"{self.shape} do, got {jnp.shape(info[MASK])}"
            )
        return jnp.ravel(info[MASK])

    def are_positions(self, shape: Shape) -> bool:
        """Whether a shape is one vector a patch, `(number, d)` or `(*grid, d)`."""
        return tuple(shape[:-1]) in ((self.number,), self.grid) and len(shape) > 1
