"""What a check measured, and everything that it found wrong, told at once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax.types import Tree

TOLERANCE = 1e-5
COUNTS = (1, 2, 4, 8)


class Report(NamedTuple):
    """What a check did.

    Attributes:
      part: name of what was checked.
      errors: largest relative error measured, by check; 0 for what holds or does not.
      devices: numbers of devices that shared the batch.

    Example:
      >>> print(Report("the network", {"shape": 0.0}))
      the network: 1 checks passed
        shape: 0.0e+00
    """

    part: str
    errors: dict[str, float]
    devices: tuple[int, ...] = ()

    def __str__(self) -> str:
        """One line a check, and how many devices took part."""
        lines = [f"{self.part}: {len(self.errors)} checks passed"]
        lines += [f"  {check}: {error:.1e}" for check, error in self.errors.items()]
        if self.devices and max(self.devices) == 1:
            lines.append("  only one device took part: sharing a batch was not checked")
        return "\n".join(lines)


class Findings:
    """Collects errors and failures, so that one run of a check tells all of them."""

    def __init__(self, part: str):
        self.part = part
        self.errors: dict[str, float] = {}
        self.failures: list[str] = []

    def equal(
        self, check: str, got: Tree, wanted: Tree, what: str, tolerance: float = TOLERANCE
    ) -> None:
        """Wants ‖got - wanted‖ ≤ tolerance · ‖wanted‖ over all leaves of a tree."""
        error = distance(got, wanted)
        self.errors[check] = max(error, self.errors.get(check, 0.0))
        if not error <= tolerance:
            scalar = jax.tree_util.all_leaves([wanted]) and np.ndim(wanted) == 0
            numbers = f" ({_short(got)}, not {_short(wanted)})" if scalar else ""
            self.failures.append(f"{check}: {what} is off by {100 * error:.3g}%{numbers}")

    def all_equal(self, check: str, got: Mapping, wanted: Mapping, what: str) -> None:
        """`equal` for each entry of a mapping, by its name."""
        for name in wanted:
            self.equal(check, got[name], wanted[name], what.format(name))

    def holds(self, check: str, condition: Any, otherwise: str) -> None:
        """Wants a condition."""
        self.errors.setdefault(check, 0.0)
        if not condition:
            self.failures.append(f"{check}: {otherwise}")

    def finite(self, check: str, trees: Mapping[str, Tree]) -> None:
        """Wants every number of every tree finite."""
        for name, tree in trees.items():
            bad = sum(int(np.sum(~np.isfinite(leaf))) for leaf in jax.tree.leaves(tree))
            self.holds(check, bad == 0, f"{name} has {bad} values that are not finite")

    def report(self, devices: Sequence[int] = ()) -> Report:
        """The report, or AssertionError with every failure."""
        if self.failures:
            raise AssertionError(f"{self.part}:\n  " + "\n  ".join(self.failures))
        return Report(self.part, self.errors, tuple(devices))


def distance(got: Tree, wanted: Tree) -> float:
    """‖got - wanted‖ / ‖wanted‖ over all leaves; 0 where both are zero."""
    ours, theirs = _flat(got), _flat(wanted)
    difference, norm = np.linalg.norm(ours - theirs), np.linalg.norm(theirs)
    if norm == 0:
        return 0.0 if difference == 0 else float("inf")
    return float(difference / norm)


def usable(devices: Sequence[int], batch_size: int) -> tuple[int, ...]:
    """Those device counts that this machine has and that divide the batch."""
    return tuple(n for n in devices if n <= len(jax.devices()) and batch_size % n == 0)


def _flat(tree: Tree) -> np.ndarray:
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)]
    return np.concatenate([np.zeros(0), *leaves])


def _short(value: Any) -> str:
    return f"{float(np.asarray(value)):.6g}"
