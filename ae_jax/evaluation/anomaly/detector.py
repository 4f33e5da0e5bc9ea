"""A run, a score and a threshold: a detector of what is unlike the training examples."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import keys
from ae_jax.checks import require_positive_ints
from ae_jax.data.batches import to_batch
from ae_jax.data.source import Records, as_numpy, pieces, readable
from ae_jax.evaluation._arrays import labels_of
from ae_jax.evaluation.anomaly.fitting import fitting, require_fit
from ae_jax.evaluation.anomaly.ranking import ranking, require_contamination, threshold
from ae_jax.evaluation.anomaly.scores import SCORES, Score
from ae_jax.precision import compiled_in_float32

KEPT = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
    """A run, a score, and what the score keeps of the training examples.

    Attributes:
      run: a Run.
      score: a Score.
      reference: arrays by name, as `score.reference` gave them.
      threshold: above which an example is called anomalous.
      contamination: the share of training examples above it.
      training_scores: of the training examples, float64 `[n]`.
      seed: of whatever is random in the score.
    """

    run: Any
    score: Score
    reference: Mapping[str, np.ndarray]
    threshold: float
    contamination: float
    training_scores: np.ndarray
    seed: int = 0

    @compiled_in_float32()
    def scores(
        self, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """How anomalous each example is.

        Args:
          x: `[n, *event]`, in the data's units, or whatever else `Run.encode` takes.
          observed: see `Run.encode`.
          extras: see `Run.encode`.

        Returns:
          float64 `[n]`: the higher, the more anomalous.
        """
        return self.compare(self.run.records(x, observed=observed, extras=extras))

    def compare(self, records: Records) -> np.ndarray:
        """`scores` of records as they were read, in the data's units."""
        return self.score.compare(self.reference, _views(self.run, self.score, records, self.seed))

    def anomalous(
        self, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Whether each example's score is above the threshold, bool `[n]`; see `scores`."""
        return self.scores(x, observed=observed, extras=extras) > self.threshold


@compiled_in_float32()
def detector(
    run: Any,
    train: Any,
    score: Any = "nearest",
    *,
    contamination: float = 0.1,
    kept: int = KEPT,
    seed: int = 0,
) -> Detector:
    """A detector of what is unlike the training examples.

    Args:
      run: a Run.
      train: what normal examples are like, e.g. those that the run was trained on: `[n, *event]`, a
        source, or whatever else `Run.evaluate` takes.
      score: a row of `SCORES`, its name or node.
      contamination: the share of `train` that is held to be anomalous, in (0, 0.5].
      kept: of how many training examples at most a score keeps what it compares with.
      seed: of the choice of these, and of whatever is random in the score.

    Returns:
      A Detector.

    Raises:
      ConfigError: a contamination outside (0, 0.5], or nothing to be kept.
      PartError: the score does not fit the run; the nearest that does is named.
      DataError: fewer training examples than the score needs.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> x = np.random.default_rng(0).normal(size=(64, 3))
      >>> run = ae.fit(ae.recipes.autoencoder(2), x, steps=2, batch_size=8, progress=False)
      >>> found = ae.evaluation.anomaly.detector(run, x)
      >>> found.anomalous([[0, 0, 0], [9, -9, 9]]).tolist()
      [False, True]
    """
    require_contamination(contamination)
    require_positive_ints(kept=kept)
    row = SCORES.build(score)
    require_fit(run.model, run.variables, run.spec, row)
    source = run.split(train)
    order = np.random.default_rng(seed).permutation(len(source))
    chosen = readable(source.read(np.sort(order[:kept])))
    reference = row.reference(_views(run, row, chosen, seed))
    compared = [
        row.compare(reference, _views(run, row, readable(piece), seed)) for piece in pieces(source)
    ]
    scores = np.concatenate(compared)
    limit = threshold(scores, contamination)
    return Detector(run, row, reference, limit, float(contamination), scores, seed)


def judged(run: Any, train: Any, test: Any, label: str = "label") -> dict[str, float]:
    """How well each score that fits a run finds the anomalies of a labelled split.

    Args:
      run: a Run.
      train: normal examples; see `detector`.
      test: a source, or whatever else `Run.evaluate` takes.
      label: the entry of its extras that is 1 for anomalies and 0 for the rest.

    Returns:
      What `ranking` gives, by `"auroc_SCORE"` and `"average_precision_SCORE"`.

    Raises:
      DataError: there is no such entry, it holds something else, or one class alone.
    """
    split = run.split(test)
    records = [readable(piece) for piece in pieces(split)]
    labels = np.concatenate([labels_of(piece.extras, label, "the data") for piece in records])
    ranking(np.zeros(len(labels)), labels)
    results: dict[str, float] = {}
    for name in fitting(run):
        scorer = detector(run, train, name)
        compared = [scorer.compare(piece) for piece in records]
        quality = ranking(np.concatenate(compared), labels)
        results |= {f"{metric}_{name}": value for metric, value in quality.items()}
    return results


def _views(run: Any, score: Score, records: Records, seed: int) -> dict[str, np.ndarray]:
    """What a score sees of examples, `[n, …]`: one noise for all, so that order tells nothing."""

    def view(shared, records, places):
        variables, root = shared[0], jax.random.wrap_key_data(shared[1])
        draws = keys.for_preprocessing(root, None, places, places)
        batch = to_batch(records, places, run.preprocessing, draws)
        example_keys = keys.for_examples(root, None, places)
        return score.view(run.model, run.spec, variables, batch, example_keys)

    which = score.view if score.node is None else score.node
    shared = run.variables, jax.random.key_data(keys.root(seed))
    places = np.zeros(len(records.x), np.uint32)
    return run.over_examples(("anomaly", which), view)(shared, as_numpy(records), places)
