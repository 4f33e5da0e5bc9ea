"""How fast a compiled step can be at best: the roofline of Williams, Waterman & Patterson 2009.

"Roofline: an insightful visual performance model for multicore architectures". To the larger of
computing and memory time comes the time of the collectives over the links:

    step ≥ max(FLOPs / peak, HBM bytes / bandwidth) + Σ bytes sent / (links · link bandwidth)

which takes collectives not to overlap with computing; `step_seconds_overlapped` takes them to
overlap wholly. These are bounds, from the makers' peak figures, not measurements.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ae_jax.benchmarking.hardware.chips import Slice
from ae_jax.benchmarking.program.compiled import Work
from ae_jax.benchmarking.program.exchanges import Collective

Coordinates = Sequence[tuple[int, ...]]


class Bound(NamedTuple):
    """The least time of a step.

    Attributes:
      compute_seconds: FLOPs / peak.
      memory_seconds: HBM bytes / bandwidth.
      collective_seconds: seconds of all collectives, one after the other.
    """

    compute_seconds: float
    memory_seconds: float
    collective_seconds: float

    @property
    def step_seconds(self) -> float:
        """With collectives that wait for computing."""
        return max(self.compute_seconds, self.memory_seconds) + self.collective_seconds

    @property
    def step_seconds_overlapped(self) -> float:
        """With collectives hidden behind computing as far as they can be."""
        return max(self)

    @property
    def held_by(self) -> str:
        """What takes longest: "compute", "memory" or "collectives"."""
        return ("compute", "memory", "collectives")[self.index(max(self))]


def bound(work: Work, where: Slice, coordinates: Coordinates) -> Bound:
    """The bound of a step.

    Args:
      work: work of one chip.
      where: the slice it was compiled for.
      coordinates: coordinates of the devices in the torus, by the numbers that collectives know
        them by.

    Returns:
      A Bound.
    """
    return Bound(
        work.flops / where.chip.peak_flops,
        work.hbm_bytes / where.chip.hbm_bandwidth,
        sum(seconds(c, where, coordinates) for c in work.collectives),
    )


def weak_scaling(
    work: Work, where: Slice, coordinates: Coordinates
) -> list[tuple[Slice, Bound, float]]:
    """The bound from one chip to the slice at the same work a chip.

    Computing and memory time are those of the compiled program; the groups of its collectives
    shrink with the axes that they lie along. Not compiled anew at each size.

    Returns:
      Slice, Bound and efficiency, one chip's bound over this one, for each size.
    """
    rows = []
    for part in where.smaller():
        times = (seconds(c, where, coordinates, part) for c in work.collectives)
        rows.append((part, bound(work, where, coordinates)._replace(collective_seconds=sum(times))))
    alone = rows[0][1].step_seconds
    return [
        (part, estimate, alone / estimate.step_seconds if alone else 1.0) for part, estimate in rows
    ]


def seconds(
    collective: Collective, where: Slice, coordinates: Coordinates, part: Slice | None = None
) -> float:
    """The least time of a collective in a step: bytes sent over the links that its group spans.

    Args:
      collective: collective of the program compiled for `where`.
      where: that slice.
      coordinates: coordinates, see `bound`.
      part: a smaller slice to which its group is cut; None: none.

    Returns:
      Seconds. A group that is no box of the torus, and a permutation, may use every link.
    """
    within = where if part is None else part
    places = [coordinates[number] for number in collective.group]
    spanned = [len(set(along)) for along in zip(*places, strict=True)][: len(where.shape)]
    extent, members = within.shape, min(len(places), within.size * where.cores)
    if math.prod(spanned) * where.cores == len(places):
        extent = tuple(map(min, spanned, within.shape))
        members = math.prod(extent) * where.cores
    if members < 2:
        return 0.0
    sent = collective._replace(group=collective.group[:members]).sent
    if collective.kind == "collective-permute":
        extent = within.shape
    links = max(within.links(extent), 1.0)  # cores of one chip exchange at least as fast as a link
    return collective.times * sent / (links * where.chip.link_bandwidth)
