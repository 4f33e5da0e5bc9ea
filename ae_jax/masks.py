"""Masks that a user gives, True where hidden: checked, and as the model's corruption tells them."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import compiler
from ae_jax.errors import DataError, PartError, ShapeError
from ae_jax.types import Array, Shape

MASK, PATCHES = "mask", "patch_mask"
DRAWS = 8


class Hiding(NamedTuple):
    """How a corruption hides entries of an event.

    Attributes:
      shape: shape of the event, in the model's units.
      value: what stands for a hidden entry.
      grid: patches along each tiled axis, of a corruption that hides whole patches; None: entries.
      sides: sides of a patch.
    """

    shape: Shape
    value: float
    grid: Shape | None = None
    sides: Shape = ()

    @classmethod
    @functools.lru_cache(maxsize=16)  # a corruption is looked at once, not at every call
    def of(cls, corruption: Any, shape: Shape) -> "Hiding":
        """That of a corruption, seen from some draws.

        Raises:
          PartError: it hides nothing, or puts several values in the place of what it hides.
        """
        node = getattr(corruption, "node", None)
        name = "a function of the user's" if node is None else f"'{node.name}'"
        x = 0.25 + jnp.arange(math.prod(shape), dtype=jnp.float32).reshape(shape) / 1024
        drawn = compiler.jit(jax.vmap(corruption, (0, None, None)))
        seen, info = drawn(jax.random.split(jax.random.key(0), DRAWS), x, None)
        if MASK not in info:
            raise PartError(
                "reconstruct(mask=…) needs a model that was trained to fill in what is hidden, "
                f"e.g. by ae.corruptions.patch_masking; this one's corruption is {name}. For "
                "missing entries pass observed=~mask"
            )
        values = np.unique(np.asarray(seen)[np.asarray(info[MASK])])
        if len(values) != 1:
            raise PartError(
                f"reconstruct(mask=…) needs a corruption that hides behind one value; {name} "
                f"put {len(values)} of them"
            )
        if PATCHES not in info:
            return cls(shape, float(values[0]))
        grid = info[PATCHES].shape[1:]
        sides = None if node is None else dict(node.kwargs).get("patch")
        if isinstance(sides, int):
            sides = (sides,) * len(grid)
        if not isinstance(sides, Sequence):
            sides = [-(-room // count) for room, count in zip(shape, grid, strict=False)]
        return cls(shape, float(values[0]), grid, tuple(sides))

    def info(self, mask: Any, num: int) -> dict[str, np.ndarray]:
        """What the corruption would tell, had it drawn this mask.

        Args:
          mask: bool, of the event's shape or the patches' grid, for all examples or for each.
          num: n, how many examples there are.

        Returns:
          "mask", bool `[n, *event]`, and of a corruption of patches "patch_mask", `[n, *grid]`.

        Raises:
          ShapeError: another shape.
          DataError: not bool, all of an example hidden, or part of a patch.
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_:
            raise DataError(f"mask must be bool, True where hidden, got dtype {mask.dtype}")
        shapes = [shape for shape in (self.shape, self.grid) if shape is not None]
        for shape in shapes:
            if mask.shape in (shape, (num, *shape)):
                whole = np.broadcast_to(mask, (num, *shape))
                entries = (
                    self._of_entries(whole) if shape == self.shape else self._of_patches(whole)
                )
                _require_something_seen(entries[MASK])
                return entries
        known = " or ".join(f"{shape} or {(num, *shape)}" for shape in shapes)
        what = f", by {self.sides} patches of {self.shape}" if self.grid else ""
        raise ShapeError(f"mask must have shape {known}{what}, got {mask.shape}")

    def _of_patches(self, chosen: np.ndarray) -> dict[str, np.ndarray]:
        return {MASK: self._entries(chosen), PATCHES: chosen}

    def _of_entries(self, mask: np.ndarray) -> dict[str, np.ndarray]:
        if self.grid is None:
            return {MASK: mask}
        corners = tuple(slice(None, None, side) for side in self.sides)
        chosen = mask[(slice(None), *corners)].reshape(len(mask), *self.grid, -1)[..., 0]
        differs = np.argwhere(self._entries(chosen) != mask)
        if len(differs):
            example, *place = differs[0].tolist()
            patch = tuple(at // side for at, side in zip(place, self.sides, strict=False))
            raise DataError(
                f"mask hides part of patch {patch} of example {example} (see {tuple(place)}): this "
                f"model hides whole patches of {self.sides}; a mask of shape {self.grid} names them"
            )
        return {MASK: mask, PATCHES: chosen}

    def _entries(self, chosen: np.ndarray) -> np.ndarray:
        hit = chosen
        for axis, (side, room) in enumerate(zip(self.sides, self.shape, strict=False), 1):
            hit = np.repeat(hit, side, axis=axis).take(np.arange(room), axis=axis)
        hit = hit.reshape(*hit.shape, *(1,) * (1 + len(self.shape) - hit.ndim))
        return np.broadcast_to(hit, (len(chosen), *self.shape))


def _require_something_seen(mask: np.ndarray) -> None:
    blind = np.flatnonzero(mask.reshape(len(mask), -1).all(axis=1))
    if len(blind):
        raise DataError(f"mask hides all of example {blind[0]}: leave something to see")


def hide(x: Array, info: dict[str, Array], observed: Array | None, value: float) -> Any:
    """`(x̃, info)` of a batch with these masks; entries that are not observed are not hidden."""
    mask = info[MASK] if observed is None else info[MASK] & observed
    return jnp.where(mask, jnp.asarray(value, x.dtype), x), info | {MASK: mask}
