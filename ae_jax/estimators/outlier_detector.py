"""An outlier detector for tables of numbers with scikit-learn's interface."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ae_jax.checks import require_positive_ints
from ae_jax.estimators import _keeping
from ae_jax.estimators._training import train
from ae_jax.evaluation import EnsembleDetector, anomaly, ensemble


class AutoencoderOutlierDetector(OutlierMixin, BaseEstimator):
    """Outliers as what an autoencoder trained on a table finds unlike its rows.

    Scores have scikit-learn's sign, high for normal rows; the attributes with PyOD's names have the
    sign that they have there, high for outliers.

    Args:
      recipe: a recipe's name (`"vae"`) or `ae.recipes.vae(…)`.
      arguments: of the named recipe; None: `{"latent_dim": 8}`.
      anomaly_score: a row of `ae.evaluation.anomaly.SCORES`, its name or node.
      contamination: the share of training rows to call outliers, in (0, 0.5].
      steps: optimizer steps.
      batch_size: rows a step; at most all there are.
      optimizer: the config section `{"name": …, "learning_rate": …}`; None: Adam at 1e-3.
      random_state: seed of parameters, data order and noise.
      members: how many runs of consecutive seeds to train and to take the mean score of, each
        standardised; see `ae.ensemble`.

    Attributes:
      run_: the trained Run; of several members the first.
      runs_: all members.
      detector_: the `ae.evaluation.anomaly.Detector`, or of several members an
        `ae.evaluation.EnsembleDetector`.
      offset_: the score of a row between inliers and outliers.
      decision_scores_: of the training rows, `[n]`, high for outliers.
      labels_: of the training rows, 1 for outliers and 0 for inliers.
      threshold_: above which `decision_scores_` are outliers'.
      n_features_in_: columns.
      feature_names_in_: of a data frame.

    Example:
      >>> x = np.random.default_rng(0).normal(size=(64, 3))
      >>> found = AutoencoderOutlierDetector(steps=5, batch_size=16).fit(x)
      >>> found.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
      [1, -1]
    """

    def __init__(
        self,
        recipe: Any = "autoencoder",
        arguments: Mapping[str, Any] | None = None,
        *,
        anomaly_score: Any = "nearest",
        contamination: float = 0.1,
        steps: int = 1000,
        batch_size: int = 128,
        optimizer: Mapping[str, Any] | None = None,
        random_state: Any = 0,
        members: int = 1,
    ):
        self.recipe = recipe
        self.arguments = arguments
        self.anomaly_score = anomaly_score
        self.contamination = contamination
        self.steps = steps
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.random_state = random_state
        self.members = members

    def fit(self, X: Any, y: Any = None) -> "AutoencoderOutlierDetector":
        """Trains on all rows and sets the threshold.

        Args:
          X: `[n, d]`, finite numbers.
          y: ignored.

        Returns:
          The estimator itself.

        Raises:
          ConfigError: a contamination outside (0, 0.5], or another parameter out of range.
          PartError: a score that does not fit the recipe; the nearest that does is named.
          DataError: fewer rows than neighbours or devices.
        """
        del y
        anomaly.require_contamination(self.contamination)
        require_positive_ints(members=self.members)
        anomaly.SCORES.build(self.anomaly_score)
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self.run_ = train(self, X)
        seed, contamination = self.run_.config.training.seed, self.contamination
        others = [train(self, X, (seed + i) % 2**32) for i in range(1, self.members)]
        self.runs_ = ensemble((self.run_, *others)).runs
        detectors = [
            anomaly.detector(run, X, self.anomaly_score, contamination=contamination, seed=seed)
            for run in self.runs_
        ]
        self._take(detectors)
        return self

    def _take(self, detectors: Sequence[anomaly.Detector]) -> None:
        one = detectors[0]
        detector = one if len(detectors) == 1 else EnsembleDetector.of(detectors, one.contamination)
        self.detector_ = detector
        self.threshold_, self.offset_ = detector.threshold, -detector.threshold
        self.decision_scores_ = detector.training_scores
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)

    def score_samples(self, X: Any) -> np.ndarray:
        """How normal each row is, float64 `[n]`: the negative of the anomaly score.

        Args:
          X: `[n, d]`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return -self.detector_.scores(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` less `offset_`, `[n]`: negative for outliers.

        Args:
          X: `[n, d]`.
        """
        return self.score_samples(X) - self.offset_

    def disagreement(self, X: Any) -> np.ndarray:
        """How far the members are from agreeing on each row, `[n]`; 0 of a single member.

        Args:
          X: `[n, d]`.

        Returns:
          The standard deviation of their standardised scores, float64.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if not isinstance(self.detector_, EnsembleDetector):
            return np.zeros(len(X))
        return self.detector_.opinions(X).disagreement

    def predict(self, X: Any) -> np.ndarray:
        """1 for inliers and -1 for outliers, `[n]`.

        Args:
          X: `[n, d]`.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def save(self, workdir: Any) -> None:
        """Writes the fitted estimator without pickle: an ordinary workdir, JSON and NPZ beside it.

        Args:
          workdir: a folder that holds no run yet.

        Raises:
          WorkdirError: the folder holds a run, or cannot be written.
          ConfigError: the recipe holds Python objects without a config form.
        """
        check_is_fitted(self)
        _keeping.save(self, workdir, _to_arrays(self._detectors), self.runs_[1:])

    @classmethod
    def load(cls, workdir: Any) -> "AutoencoderOutlierDetector":
        """The estimator that `save` wrote.

        Args:
          workdir: where.

        Raises:
          MissingFileError: no estimator was saved there.
          WorkdirError: one of another class was.
        """
        estimator, arrays = _keeping.load(cls, workdir)
        others = _keeping.load_members(workdir, estimator.members - 1)
        estimator.runs_ = ensemble((estimator.run_, *others)).runs
        estimator._take(_of_arrays(estimator.runs_, estimator.anomaly_score, arrays))
        return estimator

    @property
    def _detectors(self) -> tuple[anomaly.Detector, ...]:
        detector = self.detector_
        return detector.detectors if isinstance(detector, EnsembleDetector) else (detector,)

    def __getstate__(self) -> dict[str, Any]:
        before: Any = super().__getstate__()
        state = dict(before)
        if "run_" in state:
            del state["run_"]
            state["runs_"] = [_keeping.run_to_plain(run) for run in self.runs_]
            state["detector_"] = _to_arrays(self._detectors)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "runs_" in state:
            self.runs_ = ensemble([_keeping.run_of_plain(plain) for plain in state["runs_"]]).runs
            self.run_ = self.runs_[0]
            self._take(_of_arrays(self.runs_, self.anomaly_score, state["detector_"]))


def _to_arrays(detectors: Sequence[anomaly.Detector]) -> dict[str, np.ndarray]:
    """Arrays by name; of members after the first the names begin with their number."""
    numbers = ("training_scores", "threshold", "contamination", "seed")
    arrays: dict[str, np.ndarray] = {}
    for i, detector in enumerate(detectors):
        kept = {f"reference.{name}": value for name, value in detector.reference.items()}
        kept |= {name: np.asarray(getattr(detector, name)) for name in numbers}
        arrays |= {_prefix(i) + name: value for name, value in kept.items()}
    return arrays


def _of_arrays(
    runs: Sequence[Any], score: Any, arrays: Mapping[str, np.ndarray]
) -> list[anomaly.Detector]:
    """Inverse of `_to_arrays`."""
    row, detectors = anomaly.SCORES.build(score), []
    for i, run in enumerate(runs):
        of = lambda name, i=i: arrays[_prefix(i) + name]
        start = f"{_prefix(i)}reference."
        kept = {n.removeprefix(start): v for n, v in arrays.items() if n.startswith(start)}
        numbers = {name: of(name).item() for name in ("threshold", "contamination", "seed")}
        scores = of("training_scores")
        detectors.append(anomaly.Detector(run, row, kept, training_scores=scores, **numbers))
    return detectors


def _prefix(member: int) -> str:
    return f"{member}/" if member else ""
