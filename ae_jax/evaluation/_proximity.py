"""Distances to, and densities of, training examples by plain arrays, in scikit-learn's hands."""

import math

import numpy as np

from ae_jax.evaluation._arrays import require_neighbours

SAME = 1e-5
"""Rows this near each other, as a share of their usual length, are the same example: what float32
leaves of a difference of none."""
EXAMPLES = "training examples"


def mean_distance(known: np.ndarray, asked: np.ndarray, neighbours: int) -> np.ndarray:
    """The mean Euclidean distance to the nearest known rows, of which one that is the same is none.

    So a training example gets the score that a new one in its place would get.

    Args:
      known: `[m, d]`.
      asked: `[n, d]`.
      neighbours: k, fewer than m.

    Returns:
      float64 `[n]`.

    Raises:
      DataError: m is not above k.

    Example:
      >>> known = np.array([[0.0], [1.0], [3.0]])
      >>> mean_distance(known, np.array([[0.0], [2.0]]), 2).tolist()
      [2.0, 1.0]
    """
    from sklearn.neighbors import NearestNeighbors

    require_neighbours(neighbours, len(known) - 1, EXAMPLES)
    search = NearestNeighbors(n_neighbors=neighbours + 1).fit(known)
    distances = search.kneighbors(asked)[0].astype(np.float64)
    same = distances[:, :1] <= SAME * _length(known)
    return np.where(same, distances[:, 1:], distances[:, :-1]).mean(axis=1)


def kernel_density(known: np.ndarray, asked: np.ndarray, bandwidth: float) -> np.ndarray:
    """Log of the mean of Gaussian kernels at the known rows, one that is the same row left out.

    Args:
      known: `[m, d]`, m > 1.
      asked: `[n, d]`.
      bandwidth: h, the kernels' deviation.

    Returns:
      float64 `[n]`, nats.

    Raises:
      DataError: there are fewer than two known rows.
    """
    from scipy.special import logsumexp
    from sklearn.metrics import pairwise_distances_chunked

    require_neighbours(1, len(known) - 1, EXAMPLES)
    near = SAME * _length(known)

    def densities(distances: np.ndarray, start: int) -> np.ndarray:
        del start
        distances = distances.astype(np.float64)
        closest = distances.argmin(axis=1)[:, None]
        same = np.take_along_axis(distances, closest, 1) <= near
        log_kernels = -0.5 * (distances / bandwidth) ** 2
        lone = np.where(same, -np.inf, np.take_along_axis(log_kernels, closest, 1))
        np.put_along_axis(log_kernels, closest, lone, 1)
        return logsumexp(log_kernels, axis=1) - np.log(len(known) - same[:, 0])

    parts = pairwise_distances_chunked(asked, known, reduce_func=densities)
    dimensions = known.shape[1]
    normaliser = 0.5 * dimensions * math.log(2 * math.pi * bandwidth**2)
    return np.concatenate(list(parts)) - normaliser


def scott(num: int, dimensions: int) -> float:
    """Scott's bandwidth n^(-1 / (d + 4)) for rows of unit variance."""
    return num ** (-1.0 / (dimensions + 4))


def _length(rows: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sum(np.asarray(rows, np.float64) ** 2, axis=1))))
