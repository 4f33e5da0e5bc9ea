"""What codes still tell of noisy inputs: of a denoising run against a plain one, say."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data import matching
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Records, Source, readable, sampled
from ae_jax.errors import DataError
from ae_jax.evaluation._arrays import labels_of, require_classes
from ae_jax.evaluation.corrupted import corrupt, reconstructed
from ae_jax.evaluation.denoise import NOISES, nodes_of


def noisy_probes(
    runs: Mapping[str, Any],
    dataset: Dataset,
    *,
    noises: Mapping[str, Sequence[float]] = NOISES,
    label: str = "label",
    num: int = 10_000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """How well a linear classifier of clean codes reads a label from codes of noisy examples.

    One logistic regression a row, scikit-learn's with L2 of weight 1 on standardised features of
    clean training examples (Vincent et al. 2010, who judge denoising autoencoders so); it is asked
    for clean test examples and for each noise. All rows see the same noise. The row "input" is what
    the same classifier reads from the noisy examples themselves.

    Args:
      runs: Runs by the name of their row, such as {"denoising": …, "plain": …}, trained on the same
        data.
      dataset: its training and test split hold the label.
      noises: levels by kind, in the model's units; see `ae.evaluation.denoise`.
      label: the entry of `extras`, whole numbers; -1 is none.
      num: a fixed choice of so many examples of each split, at most.
      seed: of the noise.

    Returns:
      Accuracies in [0, 1] by row and then by "clean" and noise, such as "gaussian 0.3".

    Raises:
      DataError: there is no run, a row is called "input", or the data have no such label.
      ConfigError: a kind of noise without a level.

    Example:
      >>> import ae_jax as ae
      >>> digits = ae.data.load("digits")
      >>> run = ae.fit(ae.recipes.denoising(8), digits, steps=2, progress=False)
      >>> table = ae.evaluation.noisy_probes({"denoising": run}, digits, noises={"gaussian": [0.3]})
      >>> list(table), list(table["input"])
      (['denoising', 'input'], ['clean', 'gaussian 0.3'])
    """
    require_positive_ints(num=num)
    require_seed(seed=seed)
    if not runs or "input" in runs:
        raise DataError(f"runs must be Runs by name, none of them 'input', got {list(runs)}")
    nodes = nodes_of(noises)
    table = {}
    for name, run in runs.items():
        train, test = (_labelled(run, part, label, num) for part in (dataset.train, dataset.test))
        noisy = {of: reconstructed(run, test[0], node, seed).codes for of, node in nodes.items()}
        table[name] = _accuracies(_codes(run, train[0]), _codes(run, test[0]), noisy, train, test)
    run = next(iter(runs.values()))
    train, test = (_labelled(run, part, label, num) for part in (dataset.train, dataset.test))
    noisy = {of: corrupt(run, test[0], node, seed) for of, node in nodes.items()}
    seen, held = (corrupt(run, records, "none") for records, _ in (train, test))
    return {**table, "input": _accuracies(seen, held, noisy, train, test)}


def _labelled(run: Any, source: Source, label: str, num: int) -> tuple[Records, np.ndarray]:
    """Examples that have a label, and their labels."""
    records = readable(sampled(matching.matched(source, run.spec.columns), num).records)
    labels = labels_of(records.extras, label, "the data")
    return readable(records._replace(valid=labels >= 0)), labels[labels >= 0]


def _codes(run: Any, records: Records) -> np.ndarray:
    return run.encode(records.x, observed=records.observed, extras=records.extras)


def _accuracies(
    train: np.ndarray, clean: np.ndarray, noisy: Mapping[str, np.ndarray], *labelled: Any
) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = lambda z: np.asarray(z, np.float64).reshape(len(z), -1)
    (_, known), (_, asked) = labelled
    require_classes(known, "the training labels")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(rows(train), known)
    return {of: float(probe.score(rows(z), asked)) for of, z in {"clean": clean, **noisy}.items()}
