"""What accelerators can do at most, by their makers' figures, and how pods are wired.

Source: Google's Cloud TPU documentation, the pages of v4, v5e, v5p and v6e as read in November 2026
(peak compute in bfloat16, HBM capacity and bandwidth, inter-chip bandwidth). A link is one port in
one direction: v5e, for one, has 400 GB/s in both directions over 4 ports, hence 50 GB/s. Axes of 16
chips close to rings on v5e and v6e, on v4 and v5p those of slices made of whole 4 x 4 x 4 cubes.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from ae_jax.errors import ConfigError, UnknownNameError, nearest

GIB = 2**30


class Chip(NamedTuple):
    """One chip's limits.

    Attributes:
      name: as in a topology's name.
      kind: `jax.Device.device_kind`.
      peak_flops: a second, in bfloat16.
      hbm_bytes: bytes of main memory.
      hbm_bandwidth: bytes a second.
      link_bandwidth: bytes a second over one link in one direction.
      axes: axes of the torus.
      ring: whether an axis of a slice closes to a ring, `(slice's shape, axis) -> bool`.
    """

    name: str
    kind: str
    peak_flops: float
    hbm_bytes: int
    hbm_bandwidth: float
    link_bandwidth: float
    axes: int
    ring: Callable[[tuple[int, ...], int], bool]


def _full_axis(shape: tuple[int, ...], axis: int) -> bool:
    return shape[axis] == 16


def _whole_cubes(shape: tuple[int, ...], axis: int) -> bool:
    del axis
    return all(size % 4 == 0 for size in shape)


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", "TPU v4", 275e12, 32 * GIB, 1228e9, 50e9, 3, _whole_cubes),
        Chip("v5e", "TPU v5 lite", 197e12, 16 * GIB, 819e9, 50e9, 2, _full_axis),
        Chip("v5p", "TPU v5", 459e12, 95 * GIB, 2765e9, 100e9, 3, _whole_cubes),
        Chip("v6e", "TPU v6 lite", 918e12, 32 * GIB, 1640e9, 100e9, 2, _full_axis),
    )
}


class Slice(NamedTuple):
    """A slice of a pod.

    Attributes:
      chip: each of its chips.
      shape: chips along each axis of the torus.
      cores: devices that a chip shows itself as; `chip` then holds a device's share of its limits.
    """

    chip: Chip
    shape: tuple[int, ...]
    cores: int = 1

    @property
    def size(self) -> int:
        """Chips in all."""
        return math.prod(self.shape)

    @property
    def name(self) -> str:
        """Such as "v5e:16x16"."""
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    def shared(self, cores: int) -> "Slice":
        """The same slice seen from devices of which each chip has so many (v4's two cores)."""
        chip = self.chip._replace(
            peak_flops=self.chip.peak_flops / cores,
            hbm_bytes=self.chip.hbm_bytes // cores,
            hbm_bandwidth=self.chip.hbm_bandwidth / cores,
            link_bandwidth=self.chip.link_bandwidth / cores,
        )
        return Slice(chip, self.shape, cores)

    def smaller(self) -> list["Slice"]:
        """From one chip to this slice, every axis halved again and again."""
        shapes = [self.shape]
        while max(shapes[-1]) > 1:
            shapes.append(tuple(max(1, size // 2) for size in shapes[-1]))
        return [self._replace(shape=shape) for shape in reversed(shapes)]

    def links(self, extent: tuple[int, ...]) -> float:
        """Links that leave a chip, on average, within a box of chips of this extent.

        Two along each axis of a ring, `2 (n - 1) / n` along a line of n, whose ends have one.
        """
        total = 0.0
        for axis, size in enumerate(extent):
            closed = size == self.shape[axis] > 2 and self.chip.ring(self.shape, axis)
            total += 2.0 if closed else 2 * (size - 1) / size
        return total


def slice_of(topology: str) -> Slice:
    """The slice that a topology's name stands for.

    Args:
      topology: e.g. "v5e:16x16" or "v5p:8x8x8".

    Returns:
      A Slice.

    Raises:
      UnknownNameError: no such chip; the nearest is named.
      ConfigError: a shape that this chip's torus does not have.
    """
    name, _, shape = topology.partition(":")
    if name not in CHIPS:
        raise UnknownNameError(f"no TPU is called '{name}'{nearest(name, CHIPS)}")
    chip = CHIPS[name]
    example = "x".join(["4"] * chip.axes)
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape) or shape.count("x") + 1 != chip.axes:
        raise ConfigError(
            f"the topology '{topology}' must give {chip.axes} sizes, such as '{name}:{example}'"
        )
    return Slice(chip, tuple(map(int, shape.split("x"))))
