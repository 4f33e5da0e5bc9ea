"""Distances between the distributions of real and generated examples, in given features.

Features are `[n, d]`: the user's, or `classifier_features`. All is computed in float64 on the host,
so that any number of devices gives the same.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ae_jax.errors import DataError, ShapeError
from ae_jax.evaluation._arrays import rows, same_width

BLOCK = 2**22
"""Pairs whose kernel is held at once: 32 MiB."""


class Moments(NamedTuple):
    """Mean and covariance of features, all that the Fréchet distance reads of them.

    Attributes:
      examples: n, how many.
      mean: `[d]`.
      covariance: `[d, d]`, normalised by n - 1.
    """

    examples: int
    mean: np.ndarray
    covariance: np.ndarray


def moments(batches: Iterable[Any]) -> Moments:
    """Mean and covariance in one pass over batches of features, of any sizes.

    Sums of squares about the mean are merged batch by batch (Chan, Golub & LeVeque 1983), in
    float64, so that no digits are lost to a large mean and nothing but `[d, d]` is held.

    Args:
      batches: features, each `[b, d]`.

    Returns:
      Moments.

    Raises:
      DataError: fewer than two rows in all, or a value that is not finite.
      ShapeError: batches of different widths.

    Example:
      >>> import numpy as np
      >>> features = np.arange(12.0).reshape(6, 2)
      >>> moments([features[:1], features[1:]]).covariance.tolist()
      [[14.0, 14.0], [14.0, 14.0]]
    """
    count, mean, square = 0, np.zeros(()), np.zeros(())
    for batch in batches:
        if not len(batch):
            continue
        features = rows("features", batch)
        if count and features.shape[1] != len(mean):
            raise ShapeError(f"features must have {len(mean)} columns, got {features.shape}")
        centre, total = features.mean(axis=0), count + len(features)
        apart, centred = centre - mean, features - centre
        square = square + centred.T @ centred
        square = square + np.outer(apart, apart) * (count * len(features) / total)
        mean, count = mean + apart * (len(features) / total), total
    if count < 2:
        raise DataError(f"a covariance needs two examples at least, got {count}")
    return Moments(count, mean, square / (count - 1))


def frechet_distance(real: Any, generated: Any) -> float:
    """The squared Fréchet distance of two Gaussians with the features' moments, as in FID.

    ‖μ - ν‖² + tr(A + B - 2 (A^½ B A^½)^½) for means μ, ν and covariances A, B: with the features of
    an Inception network the FID of Heusel et al. 2017, "GANs trained by a two time-scale update
    rule converge to a local Nash equilibrium". Its estimate from n examples is biased upwards by a
    term of order 1 / n: compare only what was computed from equally many.

    Args:
      real: features `[n, d]`, or `Moments` of them.
      generated: of the same width.

    Returns:
      A number of the features' units squared; 0 for equal moments.

    Raises:
      ShapeError: different widths.
      DataError: fewer than two examples, or a value that is not finite.

    Example:
      >>> import numpy as np
      >>> standard = Moments(100, np.zeros(2), np.eye(2))
      >>> frechet_distance(standard, Moments(100, np.array([3.0, 4.0]), 4 * np.eye(2)))
      27.0
    """
    real, generated = (
        part if isinstance(part, Moments) else moments([part]) for part in (real, generated)
    )
    if real.mean.shape != generated.mean.shape:
        raise ShapeError(
            f"features must have as many columns, got {len(real.mean)} and {len(generated.mean)}"
        )
    # tr (A^½ B A^½)^½ is the sum of the singular values of A^½ B^½, which needs no further root.
    roots = _root(real.covariance) @ _root(generated.covariance)
    overlap = np.linalg.svd(roots, compute_uv=False).sum()
    traces = np.trace(real.covariance) + np.trace(generated.covariance)
    distance = np.sum((real.mean - generated.mean) ** 2) + traces - 2 * overlap
    return float(max(distance, 0.0))  # rounding leaves equal moments just below


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    rounding = values.max() * len(values) * np.finfo(np.float64).eps
    return (vectors * np.sqrt(np.where(values > rounding, values, 0))) @ vectors.T


def kernel_distance(real: Any, generated: Any) -> float:
    """The squared maximum mean discrepancy under the kernel (x · y / d + 1)³, unbiased, as in KID.

    Means run over all pairs of different examples, in place of the random subsets of Bińkowski et
    al. 2018, "Demystifying MMD GANs", whose mean it is: no seed, and no bias whatever n is, so that
    it may be slightly negative.

    Args:
      real: features `[n, d]`, n ≥ 2.
      generated: `[m, d]`, m ≥ 2.

    Returns:
      A number, 0 in expectation for equal distributions.

    Raises:
      ShapeError: different widths.
      DataError: fewer than two examples, or a value that is not finite.

    Example:
      >>> import numpy as np
      >>> kernel_distance(np.array([[1.0], [1.0]]), np.array([[0.0], [0.0]]))
      7.0
    """
    real, generated = same_width(real=real, generated=generated)
    for name, part in (("real", real), ("generated", generated)):
        if len(part) < 2:
            raise DataError(f"an unbiased estimate needs two {name} examples at least, got 1")
    within = (_kernel_sum(part, part) - _kernel_diagonal(part) for part in (real, generated))
    n, m = len(real), len(generated)
    means = [total / (k * (k - 1)) for total, k in zip(within, (n, m), strict=True)]
    return float(sum(means) - 2 * _kernel_sum(real, generated) / (n * m))


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    step = max(1, BLOCK // len(y))
    blocks = (x[start : start + step] for start in range(0, len(x), step))
    return sum(float(((block @ y.T / x.shape[1] + 1) ** 3).sum()) for block in blocks)


def _kernel_diagonal(x: np.ndarray) -> float:
    return float(((np.sum(x**2, axis=1) / x.shape[1] + 1) ** 3).sum())
