"""What scores are worth: thresholds, and how well they put anomalies above the rest."""

from typing import Any

import numpy as np

from ae_jax.errors import ConfigError, DataError, ShapeError


def require_contamination(contamination: float) -> None:
    """Raises ConfigError unless it is a number in (0, 0.5]."""
    number = isinstance(contamination, int | float | np.number)
    if not number or isinstance(contamination, bool) or not 0 < contamination <= 0.5:
        raise ConfigError(
            "contamination is the share of training examples held to be anomalous, in (0, 0.5], "
            f"got {contamination!r}"
        )


def threshold(scores: Any, contamination: float) -> float:
    """The score above which the given share of examples lies: a quantile, linearly interpolated.

    Args:
      scores: `[n]`.
      contamination: the share, in (0, 0.5].

    Returns:
      A float.

    Raises:
      ConfigError: a contamination outside (0, 0.5].

    Example:
      >>> threshold([1.0, 2.0, 3.0, 4.0, 9.0], 0.25)
      4.0
    """
    require_contamination(contamination)
    return float(np.quantile(np.asarray(scores, np.float64), 1 - contamination))


def ranking(scores: Any, anomalous: Any) -> dict[str, float]:
    """How well scores put anomalies above the rest, by scikit-learn.

    Args:
      scores: `[n]`: the higher, the more anomalous.
      anomalous: `[n]`, 1 or True for anomalies, 0 or False for the rest.

    Returns:
      "auroc" and "average_precision", in [0, 1].

    Raises:
      ShapeError: not as many labels as scores.
      DataError: labels other than 0 and 1, of one class only, or scores that are not finite.

    Example:
      >>> ranking([0.1, 0.9, 0.5, 0.6], [0, 1, 1, 0])["auroc"]
      0.75
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores, labels = np.asarray(scores, np.float64), np.asarray(anomalous)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ShapeError(f"scores and labels must be [n], got {scores.shape} and {labels.shape}")
    if not np.isfinite(scores).all():
        raise DataError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite")
    known = np.unique(labels)
    if not np.isin(known, (0, 1)).all():
        raise DataError(f"labels must be 0 (normal) or 1 (anomalous), got {known[:5].tolist()}")
    if len(known) < 2:
        which = "anomalous" if known.tolist() == [1] else "normal"
        raise DataError(
            f"all {len(labels)} examples are {which}: to rank one class above the other takes both"
        )
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
    }
