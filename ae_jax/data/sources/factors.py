"""Images of known factors, for disentanglement."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.checks import require_positive_ints
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split
from ae_jax.data.source import Records
from ae_jax.errors import ConfigError

HEART = 1.43  # how far the curve (u² + v² - 1)³ = u² v³ is from its origin, at most
NAMES = ("shape", "scale", "orientation", "x", "y")
SHAPES: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (
    lambda u, v: np.maximum(abs(u), abs(v)) <= math.sqrt(0.5),  # a square
    lambda u, v: u**2 + (2 * v) ** 2 <= 1,  # an ellipse
    lambda u, v: (
        ((HEART * u) ** 2 + (HEART * v) ** 2 - 1) ** 3 <= (HEART * u) ** 2 * (-HEART * v) ** 3
    ),
)  # and a heart; all within the unit circle


@SOURCES.register
def factors(
    sizes: Sequence[int] = (3, 6, 10, 16, 16),
    resolution: int = 64,
    test_fraction: float = TEST_FRACTION,
) -> Dataset:
    """White shapes on black, one image for each combination of five factors, drawn as it is read.

    After dSprites (Matthey, Higgins, Hassabis & Lerchner 2017): uint8 0 or 1 `[r, r, 1]`, the extra
    "factors" int32 `[5]` being the codes of shape (square, ellipse, heart), scale (half to whole),
    orientation (0 up to but not including a quarter turn, where dSprites goes full circle and so
    draws a square four times), x and y, of which y varies fastest. No two images are the same.

    Args:
      sizes: how many values each factor takes: by default 3 · 6 · 10 · 16 · 16 = 46,080 images.
      resolution: r, even.
      test_fraction: the share held out by `ae.data.split_mask`.

    Returns:
      A Dataset.

    Raises:
      ConfigError: not five positive sizes, more than 3 shapes, or more positions than pixels.

    Example:
      >>> import ae_jax as ae
      >>> len(ae.data.factors(sizes=(3, 2, 1, 4, 4), test_fraction=0).train)
      96
    """
    require_positive_ints(resolution=resolution)
    if isinstance(sizes, str | int) or len(sizes) != len(NAMES):
        raise ConfigError(f"sizes must be those of {', '.join(NAMES)}, got {sizes!r}")
    require_positive_ints(**dict(zip(NAMES, sizes, strict=True)))
    if sizes[0] > len(SHAPES) or max(sizes[3:]) > resolution // 2 or resolution % 2:
        raise ConfigError(
            f"there are {len(SHAPES)} shapes, and half of an even resolution for positions, got "
            f"sizes={tuple(sizes)}, resolution={resolution}"
        )
    whole = Sprites(tuple(sizes), resolution)
    return Dataset(*split(whole, fraction=test_fraction), source="factors")


@dataclasses.dataclass(frozen=True, eq=False)
class Sprites:
    """A source of drawn shapes.

    Attributes:
      sizes: how many values each of the five factors takes.
      resolution: resolution of the images.
    """

    sizes: tuple[int, ...]
    resolution: int

    @functools.cached_property
    def sprites(self) -> np.ndarray:
        """Each shape at each scale and orientation, `[shapes, scales, orientations, r/2, r/2]`."""
        box = self.resolution // 2
        at = (np.arange(box) + 0.5) * 2 / box - 1
        angle = (np.pi / 2 * np.arange(self.sizes[2]) / self.sizes[2])[:, None, None]
        u = np.cos(angle) * at + np.sin(angle) * at[:, None]
        v = np.cos(angle) * at[:, None] - np.sin(angle) * at
        scales = np.linspace(0.5, 1, self.sizes[1]) if self.sizes[1] > 1 else [1.0]
        drawn = [[shape(u / s, v / s) for s in scales] for shape in SHAPES[: self.sizes[0]]]
        return np.asarray(drawn, np.uint8)

    @property
    def spec(self) -> Records:
        """See `Source`."""
        x = jax.ShapeDtypeStruct((self.resolution, self.resolution, 1), np.uint8)
        return Records(x, {"factors": jax.ShapeDtypeStruct((len(NAMES),), np.int32)})

    def __len__(self) -> int:
        """How many combinations there are."""
        return math.prod(self.sizes)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        codes = np.stack(np.unravel_index(index, self.sizes), axis=-1).astype(np.int32)
        shape, scale, orientation, *position = codes.reshape(-1, len(NAMES)).T
        box = self.resolution // 2
        step = [box // max(1, n - 1) for n in self.sizes[3:]]
        left, top = ((p * s).tolist() for p, s in zip(position, step, strict=True))
        x = np.zeros((len(codes), self.resolution, self.resolution), np.uint8)
        drawn = self.sprites[shape, scale, orientation]
        for image, sprite, i, j in zip(x, drawn, top, left, strict=True):
            image[i : i + box, j : j + box] = sprite  # far faster than one indexed assignment
        return Records(x[..., None], {"factors": codes})
