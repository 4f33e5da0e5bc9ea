"""What a code keeps of the data it was made from, on plain arrays.

x are examples, codes what some method made of the same, both `[n, …]` and flattened. Distances are
Euclidean. scikit-learn computes; what is decided here is what is asked of it.
"""

from typing import Any

import numpy as np

from ae_jax.checks import require_positive_ints
from ae_jax.errors import DataError, ShapeError
from ae_jax.evaluation._arrays import as_many, probe, require_classes, rows, same_width


def explained_variance(x: Any, reconstruction: Any, mean: Any) -> float:
    """The share of the variance that a reconstruction keeps, 1 - Σ (x - x̂)² / Σ (x - m)².

    Its lack to 1 is the fraction of variance unexplained. Of PCA on its own training data it is the
    sum of scikit-learn's `explained_variance_ratio_`; of examples not trained on it may be below 0.

    Args:
      x: `[n, …]`.
      reconstruction: x̂, of the same shape.
      mean: m, of the shape of an example, or a number: of the training data.

    Returns:
      At most 1.

    Raises:
      ShapeError: different shapes.
      DataError: all of x is m, which leaves no variance to explain.

    Example:
      >>> import numpy as np
      >>> x = np.array([[0.0, 1.0], [2.0, 3.0]])
      >>> explained_variance(x, np.array([[1.0, 1.0], [1.0, 3.0]]), x.mean(axis=0))
      0.5
    """
    x, reconstruction = same_width(x=x, reconstruction=reconstruction)
    as_many(x=x, reconstruction=reconstruction)
    mean = np.asarray(mean, np.float64).reshape(-1)
    if mean.size not in (1, x.shape[1]):
        raise ShapeError(f"the mean must hold {x.shape[1]} number(s) or 1, got {mean.size}")
    whole = np.sum((x - mean) ** 2)
    if not whole:
        raise DataError("all examples are equal to the mean: there is no variance to explain")
    return float(1 - np.sum((x - reconstruction) ** 2) / whole)


def trustworthiness(x: Any, codes: Any, neighbours: int = 5) -> float:
    """How few of the neighbours in the codes are no neighbours in x; scikit-learn's.

    1 - 2 / (n k (2n - 3k - 1)) Σ_i Σ_j (r(i, j) - k), over those j among the k nearest of i in the
    codes that are only its r-th nearest in x, r > k: Venna & Kaski 2001, "Neighborhood preservation
    in nonlinear projection methods".

    Args:
      x: `[n, …]`.
      codes: `[n, …]`.
      neighbours: k, below n / 2.

    Returns:
      A number in [0, 1]; 1: what is near in the codes is near in x.

    Raises:
      ShapeError: not as many codes as examples.
      DataError: too few examples for so many neighbours.

    Example:
      >>> import numpy as np
      >>> x = np.arange(20.0)[:, None]
      >>> trustworthiness(x, 2 * x), trustworthiness(x, x % 10) < 0.9
      (1.0, True)
    """
    from sklearn import manifold

    x, codes = rows("x", x), rows("codes", codes)
    as_many(x=x, codes=codes)
    require_positive_ints(neighbours=neighbours)
    if 2 * neighbours >= len(x):
        raise DataError(
            f"{neighbours} neighbours need more than {2 * neighbours} examples, got {len(x)}"
            + (f" (neighbours={(len(x) - 1) // 2})" if len(x) > 2 else "")
        )
    return float(manifold.trustworthiness(x, codes, n_neighbors=neighbours))


def continuity(x: Any, codes: Any, neighbours: int = 5) -> float:
    """How few of the neighbours in x are torn apart in the codes: trustworthiness the other way.

    Args:
      x: `[n, …]`.
      codes: `[n, …]`.
      neighbours: k, below n / 2.

    Returns:
      A number in [0, 1]; 1: what is near in x is near in the codes (Venna & Kaski 2001).

    Raises:
      ShapeError: not as many codes as examples.
      DataError: too few examples for so many neighbours.

    Example:
      >>> import numpy as np
      >>> x = np.arange(20.0)[:, None]
      >>> continuity(x, np.sin(x)) < trustworthiness(np.sin(x), np.sin(x))
      True
    """
    return trustworthiness(codes, x, neighbours)


def knn_accuracy(
    codes: Any, labels: Any, test_codes: Any, test_labels: Any, neighbours: int = 5
) -> float:
    """The accuracy of the majority vote of a test code's nearest training codes.

    Args:
      codes: of training examples, `[n, …]`, as they are: not standardised.
      labels: theirs, `[n]`.
      test_codes: `[m, …]`.
      test_labels: `[m]`.
      neighbours: k; of equally many votes the smallest label wins, as in scikit-learn.

    Returns:
      A share in [0, 1].

    Raises:
      ShapeError: not as many labels as codes, or other widths.
      DataError: fewer codes than neighbours, or one class only.

    Example:
      >>> import numpy as np
      >>> codes, labels = np.arange(20.0)[:, None], np.arange(20) >= 10
      >>> knn_accuracy(codes, labels, codes + 0.1, labels)
      1.0
    """
    from sklearn.neighbors import KNeighborsClassifier

    codes, test_codes = _labelled(codes, labels, test_codes, test_labels)
    require_positive_ints(neighbours=neighbours)
    if neighbours > len(codes):
        raise DataError(f"{neighbours} neighbours need as many training codes, got {len(codes)}")
    votes = KNeighborsClassifier(neighbours).fit(codes, labels)
    return float(votes.score(test_codes, test_labels))


def probe_accuracy(codes: Any, labels: Any, test_codes: Any, test_labels: Any) -> float:
    """The accuracy of a logistic regression on standardised codes, `linear_probe` on arrays.

    scikit-learn's, L2 of weight 1 (C = 1), means and deviations of the training codes.

    Args:
      codes: of training examples, `[n, …]`.
      labels: theirs, `[n]`.
      test_codes: `[m, …]`.
      test_labels: `[m]`.

    Returns:
      A share in [0, 1].

    Raises:
      ShapeError: not as many labels as codes, or other widths.
      DataError: one class only.

    Example:
      >>> import numpy as np
      >>> codes, labels = np.arange(20.0)[:, None], np.arange(20) >= 10
      >>> probe_accuracy(codes, labels, codes + 0.1, labels)
      1.0
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes, test_codes = _labelled(codes, labels, test_codes, test_labels)
    whole = make_pipeline(StandardScaler(), probe())
    return float(whole.fit(codes, labels).score(test_codes, test_labels))


def _labelled(codes: Any, labels: Any, test_codes: Any, test_labels: Any) -> list[np.ndarray]:
    codes, test_codes = same_width(codes=codes, test_codes=test_codes)
    as_many(codes=codes, labels=labels)
    as_many(test_codes=test_codes, test_labels=test_labels)
    require_classes(np.asarray(labels), "the labels of the training codes")
    return [codes, test_codes]
