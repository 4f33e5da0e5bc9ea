"""How well a run fills in entries that were hidden from it, beside what one would use otherwise."""

from typing import Any

import numpy as np

from ae_jax.checks import require_positive_ints, require_seed, require_within_unit_interval
from ae_jax.data import matching
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Source, readable, sampled
from ae_jax.errors import DataError, PartError
from ae_jax.evaluation.imputation import imputation_error, impute, require_fit

NEIGHBOURS = 5
REMEMBERED = 2_000
"""Training examples that neighbours are looked for among."""


def missing_entries(
    run: Any,
    dataset: Dataset,
    *,
    rate: float = 0.5,
    samples: int = 200,
    num: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """The error of filling in test entries hidden at random, by the run, neighbours and the mean.

    Each observed entry is hidden with the same probability, whatever its value (missing completely
    at random). Errors are mean squares over the hidden entries: of a table in units of each
    column's deviation in training, of all else of one deviation, of all entries about their own
    means; the training mean then scores about 1, and less is better. A model that was trained on
    whole examples can score worse than that: its encoder has never seen the gaps, and few of the
    importance samples carry weight.

    Args:
      run: a Run of numbers with a prior; see `impute`.
      dataset: its data.
      rate: the probability of an entry to be hidden, in (0, 1).
      samples: importance samples of the run.
      num: a fixed choice of so many test examples, at most.
      seed: of what is hidden, and of the samples.

    Returns:
      "hidden", how many entries are; "run", its error by importance weights; "neighbours", of
      scikit-learn's mean over the 5 training examples nearest in what is observed; "mean", of the
      training mean; and "effective_samples", the median effective number of importance samples.

    Raises:
      PartError: the model cannot impute, or its entries are categories or tokens.
      DataError: no test split, fewer training examples than neighbours, or nothing was hidden.
      ConfigError: a rate outside (0, 1).

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> rng = np.random.default_rng(0)
      >>> x = ae.data.from_arrays(rng.normal(size=(90, 1)) @ np.ones((1, 4)), test_fraction=0.3)
      >>> run = ae.fit(ae.recipes.iwae(2), x, steps=2, batch_size=8, progress=False)
      >>> table = ae.evaluation.missing_entries(run, x, samples=20)
      >>> table["neighbours"] < table["mean"]
      True
    """
    require_within_unit_interval(rate=rate)
    require_positive_ints(samples=samples, num=num)
    require_seed(seed=seed)
    require_imputable(run)
    train, known, _ = _examples(run, dataset.train, REMEMBERED)
    x, seen, extras = _examples(run, dataset.test, num)
    hidden = seen & (np.random.default_rng(seed).random(x.shape) < rate)
    if len(train) <= NEIGHBOURS:
        raise DataError(f"{NEIGHBOURS} neighbours need more training examples, got {len(train)}")
    mean, scale = _moments(train, known)
    result = impute(run, x, samples, seed=seed, observed=seen & ~hidden, extras=extras)
    filled = {
        "run": result.x,
        "neighbours": _by_neighbours(train, known, x, seen & ~hidden, mean, scale),
        "mean": np.broadcast_to(mean, x.shape),
    }
    errors = {way: imputation_error(again, x, hidden, scale) for way, again in filled.items()}
    effective = float(np.median(result.effective))
    return {"hidden": int(hidden.sum()), **errors, "effective_samples": effective}


def require_imputable(run: Any) -> None:
    """Raises PartError unless the run can fill in entries whose error is a squared one."""
    categories = any(column.kind == "category" for column in run.spec.columns or ())
    if run.spec.kind == "tokens" or categories:
        raise PartError("the squared error of an imputation is of numbers, not of categories")
    require_fit(run)


def _examples(run: Any, source: Source, most: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Examples in the data's units, 0 where not observed; which entries are; and their extras."""
    if not len(source):
        raise DataError("imputation is judged on test examples, and there are none")
    records = readable(sampled(matching.matched(source, run.spec.columns), most).records)
    x = np.asarray(records.x, np.float64)
    seen = np.ones(x.shape, bool) if records.observed is None else np.asarray(records.observed)
    return np.where(seen, x, 0.0), seen, records.extras


def _moments(x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every entry's mean over the examples that have it, and the unit of its error."""
    count = np.maximum(seen.sum(axis=0), 1)
    mean = x.sum(axis=0) / count
    squares = np.where(seen, (x - mean) ** 2, 0.0)
    if x.ndim == 2:
        deviation = np.sqrt(squares.sum(axis=0) / count)
        return mean, np.where(deviation > 0, deviation, 1.0)
    whole = np.sqrt(squares.sum() / seen.sum())
    return mean, np.asarray(whole if whole > 0 else 1.0)


def _by_neighbours(
    train: np.ndarray,
    known: np.ndarray,
    x: np.ndarray,
    seen: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
    from sklearn.impute import KNNImputer

    flat = lambda x, seen: np.where(seen, (x - mean) / scale, np.nan).reshape(len(x), -1)
    memory, asked = flat(train, known), flat(x, seen)
    imputer = KNNImputer(n_neighbors=NEIGHBOURS, keep_empty_features=True).fit(memory)
    return np.asarray(imputer.transform(asked)).reshape(x.shape) * scale + mean
