"""Anomaly detection: how far an example lies from those that a run was trained on.

A score is a row of `SCORES`; `nearest`, the default, is the one that does well on most data. High
is anomalous throughout (the estimators' sign is scikit-learn's), and an example's score hangs on
that example alone: what is random draws the same noise for all.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import keys
from ae_jax.checks import require_positive_ints
from ae_jax.data.batches import to_batch
from ae_jax.data.source import Records, pieces, readable
from ae_jax.errors import ConfigError, DataError, ShapeError
from ae_jax.evaluation._anomaly_scores import (
    SCORES,
    Score,
    code_density,
    corrupted_passes,
    fitting,
    importance_weighted,
    mahalanobis,
    nearest,
    nearest_codes,
    negative_elbo,
    reconstruction,
    require_fit,
)
from ae_jax.evaluation._arrays import labels_of
from ae_jax.evaluation._surprise import decoded
from ae_jax.precision import compiled_in_float32

__all__ = [
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
    "threshold",
]

KEPT = 10_000
ENTRIES_AT_ONCE = 64


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
        made = detector(run, train, name)
        compared = [made.compare(piece) for piece in records]
        quality = ranking(np.concatenate(compared), labels)
        results |= {f"{metric}_{name}": value for metric, value in quality.items()}
    return results


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


@compiled_in_float32()
def heat_map(
    run: Any, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Where an example is badly reconstructed: -log p of each pixel, column or time step, nats.

    The sum over an example is its score by `reconstruction`, whatever the likelihood, which is
    evaluated once for each entry (the networks are not).

    Args:
      run: a Run.
      x: `[n, *event]`, in the data's units, or whatever else `Run.encode` takes.
      observed: see `Run.encode`; missing entries have 0.
      extras: see `Run.encode`.

    Returns:
      float32 `[n, *event]`, of the preprocessed event's shape.

    Raises:
      PartError: the model fills in what a mask hides, and reconstructs nothing else.
    """
    records = run.records(x, observed=observed, extras=extras)
    log_prob = run.model.likelihood.log_prob

    def maps(variables, records):
        batch = to_batch(records, np.zeros(len(records.x), np.uint32), run.preprocessing)
        _, y = decoded(run.model, variables, batch)
        params = variables.params.get("likelihood", {})
        size = batch.x[0].size

        def entry(i):
            alone = (jnp.arange(size) == i).reshape(batch.x.shape[1:])
            each = jnp.broadcast_to(alone, batch.x.shape)
            seen = each if batch.observed is None else each & batch.observed
            return -jax.vmap(lambda *row: log_prob(params, *row))(y, batch.x, seen)

        found = jax.lax.map(entry, jnp.arange(size), batch_size=min(size, ENTRIES_AT_ONCE))
        return jnp.moveaxis(found, 0, 1).reshape(batch.x.shape)

    return run.over_examples("anomaly heat map", maps)(run.variables, _plain(records))


def _views(run: Any, score: Score, records: Records, seed: int) -> dict[str, np.ndarray]:
    """What a score sees of examples, `[n, …]`: one noise for all, so that order tells nothing."""

    def view(shared, records, places):
        variables, root = shared[0], jax.random.wrap_key_data(shared[1])
        draws = keys.for_preprocessing(root, None, places, places)
        batch = to_batch(records, places, run.preprocessing, draws)
        own = keys.for_examples(root, None, places)
        return score.view(run.model, run.spec, variables, batch, own)

    which = score.view if score.node is None else score.node
    shared = run.variables, jax.random.key_data(keys.root(seed))
    places = np.zeros(len(records.x), np.uint32)
    return run.over_examples(("anomaly", which), view)(shared, _plain(records), places)


def _plain(records: Records) -> Records:
    return jax.tree.map(np.asarray, records._replace(extras=dict(records.extras)))
