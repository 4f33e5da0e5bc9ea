"""What nearest neighbours tell of generated examples: fidelity, diversity, copies.

Features are `[n, d]`: the user's, or `classifier_features`. All is computed in float64 on the host,
so that any number of devices gives the same.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ae_jax.evaluation._arrays import require_neighbours, rows, same_width

BLOCK = 2**22
"""Pairs whose distance is held at once: 32 MiB."""


def precision_recall(real: Any, generated: Any, neighbours: int = 3) -> dict[str, float]:
    """How much of what is generated looks real, and how much of what is real is generated.

    A set's manifold is the union of closed balls around its examples, each reaching to its k-th
    nearest neighbour in the set, itself left out. Precision is the share of generated examples on
    the manifold of the real, recall the reverse: Kynkäänniemi et al. 2019, "Improved precision and
    recall metric for assessing generative models", whose k is 3.

    Args:
      real: features `[n, d]`, n > k.
      generated: `[m, d]`, m > k.
      neighbours: k.

    Returns:
      "precision" and "recall", in [0, 1].

    Raises:
      ShapeError: different widths.
      DataError: fewer examples than neighbours, or a value that is not finite.

    Example:
      >>> import numpy as np
      >>> real = np.array([[0.0], [1.0], [2.0], [3.0]])
      >>> precision_recall(real, real[:2] + 0.1, neighbours=1)
      {'precision': 1.0, 'recall': 0.75}
    """
    real, generated = same_width(real=real, generated=generated)
    on_manifold = lambda manifold, radii, of: float(
        np.concatenate([(near <= radii).any(axis=1) for near in _distances(of, manifold)]).mean()
    )
    return {
        "precision": on_manifold(real, _radii(real, neighbours, "real"), generated),
        "recall": on_manifold(generated, _radii(generated, neighbours, "generated"), real),
    }


def density_coverage(real: Any, generated: Any, neighbours: int = 5) -> dict[str, float]:
    """Precision and recall that a few outliers among the examples do not change.

    With the balls of `precision_recall` around the real examples alone, density is the mean number
    of balls that a generated example lies in over k, and coverage the share of balls that hold a
    generated example: Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative
    models", whose k is 5. For equal distributions density is 1 in expectation, and coverage
    1 - Π_{j<k} (n - 1 - j) / (2n - 1 - j) of n and n examples, near 1 - 2⁻ᵏ.

    Args:
      real: features `[n, d]`, n > k.
      generated: `[m, d]`.
      neighbours: k.

    Returns:
      "density", which may exceed 1, and "coverage", in [0, 1].

    Raises:
      ShapeError: different widths.
      DataError: fewer examples than neighbours, or a value that is not finite.

    Example:
      >>> import numpy as np
      >>> real = np.array([[0.0], [1.0], [2.0], [3.0]])
      >>> density_coverage(real, real[:2] + 0.1, neighbours=1)
      {'density': 2.0, 'coverage': 0.75}
    """
    real, generated = same_width(real=real, generated=generated)
    radii, inside, covered = _radii(real, neighbours, "real"), 0, np.zeros(len(real), bool)
    for near in _distances(generated, real):
        held = near <= radii
        inside, covered = inside + int(held.sum()), covered | held.any(axis=0)
    return {
        "density": inside / (neighbours * len(generated)),
        "coverage": float(covered.mean()),
    }


def nearest_neighbours(
    samples: Any, examples: Iterable[Any], neighbours: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest examples of each sample: what a generator that copies is caught by.

    Args:
      samples: `[n, …]`, flattened.
      examples: batches of the training set, each `[b, …]`, read once in order; a whole array is
        `[array]`.
      neighbours: k.

    Returns:
      Places in the order of the batches, int64 `[n, k]`, nearest first (of equals the earlier), and
      Euclidean distances, float64 `[n, k]`.

    Raises:
      ShapeError: different widths.
      DataError: fewer examples than neighbours, or a value that is not finite.

    Example:
      >>> import numpy as np
      >>> place, distance = nearest_neighbours(np.array([[1.2]]), [np.arange(4.0)[:, None]])
      >>> int(place[0, 0]), float(distance[0, 0])
      (1, 0.2)
    """
    samples = rows("samples", samples)
    places, nearest, start = np.zeros((len(samples), 0), int), np.zeros((len(samples), 0)), 0
    for batch in examples:
        if not len(batch):
            continue
        samples, batch = same_width(samples=samples, examples=batch)
        distances = np.concatenate(list(_distances(samples, batch)))
        near = np.concatenate([nearest, distances], axis=1)
        counted = np.broadcast_to(np.arange(start, start + len(batch)), distances.shape)
        place = np.concatenate([places, counted], axis=1)
        order = np.argsort(near, axis=1, kind="stable")[:, :neighbours]
        nearest, places = (np.take_along_axis(a, order, axis=1) for a in (near, place))
        start += len(batch)
    require_neighbours(neighbours, start, "examples")
    return places, nearest


def _distances(x: np.ndarray, y: np.ndarray) -> Iterable[np.ndarray]:
    """Euclidean distances of every pair, some rows of x at a time.

    As sums of squared differences, not through products: equal pairs are at exactly equal
    distances, and duplicates at 0, so that balls are closed.
    """
    from scipy.spatial.distance import cdist

    step = max(1, BLOCK // len(y))
    return (cdist(x[start : start + step], y) for start in range(0, len(x), step))


def _radii(x: np.ndarray, neighbours: int, name: str) -> np.ndarray:
    """The distance of each row to its k-th nearest other row."""
    require_neighbours(neighbours, len(x) - 1, f"{name} examples")
    blocks = _distances(x, x)  # the row itself is among the k + 1 nearest, at 0
    return np.concatenate(
        [np.partition(near, neighbours, axis=1)[:, neighbours] for near in blocks]
    )
