"""Anomaly detection: how far an example lies from those that a run was trained on.

A score is a row of `SCORES`; `nearest`, the default, is the one that does well on most data. High
is anomalous throughout (the estimators' sign is scikit-learn's), and an example's score hangs on
that example alone: what is random draws the same noise for all.
"""

from ae_jax.evaluation.anomaly.detector import KEPT, Detector, detector, judged
from ae_jax.evaluation.anomaly.fitting import fitting, require_fit
from ae_jax.evaluation.anomaly.heat_map import heat_map
from ae_jax.evaluation.anomaly.ranking import ranking, require_contamination, threshold
from ae_jax.evaluation.anomaly.scores import (
    SCORES,
    Score,
    code_density,
    corrupted_passes,
    importance_weighted,
    mahalanobis,
    nearest,
    nearest_codes,
    negative_elbo,
    reconstruction,
)

__all__ = [
    "KEPT",
    "SCORES",
    "Detector",
    "Score",
    "code_density",
    "corrupted_passes",
    "detector",
    "fitting",
    "heat_map",
    "importance_weighted",
    "judged",
    "mahalanobis",
    "nearest",
    "nearest_codes",
    "negative_elbo",
    "ranking",
    "reconstruction",
    "require_contamination",
    "require_fit",
    "threshold",
]
