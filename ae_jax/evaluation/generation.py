"""How good a run's samples are, as one table."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data import matching
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Records, Source, pieces, readable, sampled
from ae_jax.data.spec import choose_preprocessing
from ae_jax.distributions import DiagonalGaussian
from ae_jax.errors import DataError, PartError
from ae_jax.evaluation._arrays import chosen_label
from ae_jax.evaluation.distances import frechet_distance, kernel_distance
from ae_jax.evaluation.features import Classifier, classifier_features, in_batches
from ae_jax.evaluation.modes import mode_coverage
from ae_jax.evaluation.neighbours import density_coverage, nearest_neighbours, precision_recall
from ae_jax.evaluation.smoothness import path_length

NEAREST = 500
"""Samples whose nearest training example is looked for."""
Features = Callable[[Any], Any]


def generation(
    run: Any,
    dataset: Dataset,
    *,
    samples: Any = None,
    features: Features | None = None,
    label: str | None = None,
    num: int = 2_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Fidelity, diversity and novelty of generated examples, beside those of training examples.

    Generated and training examples, as many of each as are taken of the test split, are both
    compared with the test split. What training examples score is what a perfect generator would.

    Args:
      run: a Run with a prior, unless `samples` are given.
      dataset: its data.
      samples: generated examples `[m, *event]` in the data's units, of a sampler fitted to codes or
        of another model; None: `run.sample`.
      features: from examples in the data's units to `[n, …]`; None: `classifier_features` where the
        data have labels, else the examples themselves, preprocessed as by default.
      label: the entry of `extras` that the classifier learns; None: "label", if it is there.
      num: at most so many of each.
      seed: of samples and classifier.

    Returns:
      "features", what they are; "classifier_accuracy" of the classifier, if it is one; "examples",
      how many of each; and under "samples" and "training" each "frechet_distance",
      "kernel_distance", "precision", "recall", "density", "coverage", and of a classifier's
      classes "modes" and "mode_distance" (see `mode_coverage`); under "samples" also
      "nearest_training", the median distance from a sample to the training example nearest in the
      features, over that from a test example: copies are below 1; and, of a Gaussian prior,
      "path_length" along spherical steps between its draws.

    Raises:
      PartError: no prior to sample from, and no samples given.
      DataError: no test split, or fewer examples than neighbours.
    """
    require_positive_ints(num=num)
    require_seed(seed=seed)
    if not len(dataset.test):
        raise DataError("samples are compared with the test split, and there is none")
    if samples is None and not run.has_prior:
        raise PartError(
            "this run has no prior to sample from: pass the samples of a density fitted to its "
            "codes as samples=, or judge a run of ae.recipes.vae"
        )
    splits = [matching.matched(s, run.spec.columns) for s in (dataset.train, dataset.test)]
    train, test = (readable(sampled(split, num).records) for split in splits)
    fixed = features or default_features(dataset, label, seed)
    given = samples is not None
    samples = samples if given else run.sample(len(test.x), seed, extras=test.extras)
    seen, held = _of_records(fixed, train), _of_records(fixed, test)
    sampled_features = in_batches(fixed, np.asarray(samples)[:num])
    score = lambda rows: _scores(held, rows) | _modes(fixed, held, rows)
    table: dict[str, Any] = {"samples": score(sampled_features), "training": score(seen)}
    near = [_nearest(fixed, rows[:NEAREST], splits[0])[1] for rows in (sampled_features, held)]
    table["samples"]["nearest_training"] = float(np.median(near[0]) / np.median(near[1]))
    if not given and isinstance(run.model.prior(run.variables), DiagonalGaussian):
        table["samples"]["path_length"] = _path_length(run, fixed, test, seed)
    named = {"features": "given" if features else _name(fixed), "examples": len(held)}
    if isinstance(fixed, Classifier):
        named["classifier_accuracy"] = fixed.accuracy
    return named | table


def default_features(dataset: Dataset, label: str | None = None, seed: int = 0) -> Features:
    """What tells examples apart unless the user says it; see `generation`.

    Raises:
      DataError: no such label, or tokens without labels, whose numbers say nothing.
    """
    fields = readable(sampled(dataset.train).records).extras
    labelled = chosen_label([fields], label, "the training data")
    if labelled is not None:
        return classifier_features(dataset, seed, label=labelled)
    if dataset.kind == "tokens":
        raise DataError("tokens without labels have no default features: pass features=")
    part = choose_preprocessing(dataset)
    return lambda x: np.asarray(part.apply(np.asarray(x))).reshape(len(x), -1)


def nearest_training(
    samples: Any, dataset: Dataset, features: Features
) -> tuple[np.ndarray, np.ndarray]:
    """The training example nearest to each sample, found in one pass over the training split.

    Args:
      samples: `[n, *event]` in the data's units.
      dataset: its training split is read once.
      features: from examples in the data's units to `[n, …]`, in which distances are Euclidean.

    Returns:
      Those examples `[n, *event]` in the data's units, and the distances `[n]`.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> digits = ae.data.load("digits")
      >>> copies = digits.train.read(np.arange(3)).x
      >>> nearest, distance = nearest_training(copies, digits, lambda x: x.reshape(len(x), -1))
      >>> bool((nearest == copies).all()), distance.tolist()
      (True, [0.0, 0.0, 0.0])
    """
    embedded = in_batches(features, np.asarray(samples))
    places, distances = _nearest(features, embedded, dataset.train)
    return np.asarray(dataset.train.read(places).x), distances


def _nearest(
    features: Features, wanted: np.ndarray, source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Places in the source and distances, each `[n]`."""
    index: list[np.ndarray] = []

    def batches():
        start = 0
        for piece in pieces(source):
            valid = np.ones(len(piece.x), bool) if piece.valid is None else np.asarray(piece.valid)
            index.append(start + np.flatnonzero(valid))
            start += len(piece.x)
            yield _of_records(features, readable(piece))

    places, distances = nearest_neighbours(wanted, batches())
    return np.concatenate(index)[places[:, 0]], distances[:, 0]


def _of_records(features: Features, records: Records) -> np.ndarray:
    if isinstance(features, Classifier):
        return in_batches(features.of_records, records._replace(extras={}, valid=None))
    return in_batches(features, np.asarray(records.x))


def _name(features: Features) -> str:
    return "classifier" if isinstance(features, Classifier) else "preprocessed examples"


def _scores(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    return {
        "frechet_distance": frechet_distance(real, generated),
        "kernel_distance": kernel_distance(real, generated),
        **precision_recall(real, generated),
        **density_coverage(real, generated),
    }


def _modes(features: Features, real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Of the classes that a classifier sees; nothing where the features are no classifier's."""
    if not isinstance(features, Classifier):
        return {}
    classes = features.likeliest(real)
    guesses = features.likeliest(generated)
    return mode_coverage(classes, guesses)


def _path_length(run: Any, features: Features, test: Records, seed: int) -> float:
    prior = run.model.prior(run.variables)
    draw = lambda key: jax.vmap(prior.sample)(jax.random.split(key, len(test.x)))
    start, end = (np.asarray(draw(key)) for key in jax.random.split(jax.random.key(seed)))
    decode = lambda z: run.decode(z, extras=test.extras)
    return path_length(decode, start, end, features=lambda x: in_batches(features, x), seed=seed)
