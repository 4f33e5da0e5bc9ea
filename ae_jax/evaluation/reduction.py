"""A run as a dimensionality reduction, beside the methods one would use otherwise."""

import importlib.util
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data import matching
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Records, Source, readable, sampled
from ae_jax.errors import DataError, PartError
from ae_jax.evaluation._arrays import chosen_label, is_told, labels_of
from ae_jax.evaluation.embedding import (
    continuity,
    explained_variance,
    knn_accuracy,
    probe_accuracy,
    trustworthiness,
)

ITERATIONS = 200  # of the matrix factorisation: more explain 0.001 of the variance of digits more

Table = dict[str, dict[str, float]]


class Reduced(NamedTuple):
    """What one method makes of both splits.

    Attributes:
      train: codes of the training examples, `[n, d]`.
      test: of the test examples, `[m, d]`.
      again: their reconstructions `[m, …]`, in the units of `Rows`; None: it has none.
    """

    train: np.ndarray
    test: np.ndarray
    again: np.ndarray | None = None


class Rows(NamedTuple):
    """Examples as classical methods take them: flat, centred, missing entries at the mean.

    Attributes:
      train: float64 `[n, d]`.
      test: float64 `[m, d]`.
      seen: bool `[m, d]`, which entries of the test examples are observed.
      into: from examples in the data's units to these.
    """

    train: np.ndarray
    test: np.ndarray
    seen: np.ndarray
    into: Callable[[np.ndarray], np.ndarray]


def reduction(
    run: Any,
    dataset: Dataset,
    *,
    label: str | None = None,
    neighbours: int = 5,
    num_train: int = 5_000,
    num_test: int = 2_000,
    seed: int = 0,
) -> Table:
    """What codes keep of the data, beside PCA, NMF and, where umap-learn is installed, UMAP.

    All get the same examples and as many dimensions (PCA and NMF at most as many as the data
    have): fitted on a fixed choice of training examples, which the run may have seen more of,
    judged on one of test examples. Columns of tables and channels of series are divided by their
    deviation, categories left out; NMF, which knows no negative numbers, sees what each entry is
    above its least in training, and its components have unit length.

    Args:
      run: a Run.
      dataset: its data.
      label: the entry of `extras` that codes are to tell; None: "label", if it is there.
      neighbours: k of all measures that have one.
      num_train: at most so many training examples.
      num_test: at most so many test examples.
      seed: of NMF and UMAP.

    Returns:
      By method, "run", "pca", "nmf" and "umap", "dimensions" and what there is of
      "explained_variance" (not of UMAP), "trustworthiness", "continuity", and with labels
      "knn_accuracy" and "probe_accuracy"; see the functions of these names.

    Raises:
      DataError: no such label, tokens (which are no numbers), or too few examples.
      PartError: the encoder is told the label that is asked for.
    """
    require_positive_ints(neighbours=neighbours, num_train=num_train, num_test=num_test)
    require_seed(seed=seed)
    if dataset.kind == "tokens":
        raise DataError("tokens are no numbers, so that PCA and NMF cannot reduce them")
    both = [_records(run, dataset.train, num_train), _records(run, dataset.test, num_test)]
    if is_told(run, label or "label"):
        if label is not None:
            raise PartError(f"the encoder is told '{label}', which cannot judge its code")
    else:
        label = chosen_label([records.extras for records in both], label, "the data")
    data = _rows(dataset, *both)
    reduced = {"run": _of_run(run, data, *both)}
    size = reduced["run"].test.shape[1]
    reduced |= {name: method(data, size, seed) for name, method in METHODS.items()}
    if importlib.util.find_spec("umap") is not None:
        reduced["umap"] = _umap(data, size, seed)
    answers = None if label is None else [labels_of(r.extras, label, "the data") for r in both]
    return {name: _judged(data, part, answers, neighbours) for name, part in reduced.items()}


def _records(run: Any, source: Source, most: int) -> Records:
    if not len(source):
        raise DataError("codes are judged on the test split, and there is none")
    return readable(sampled(matching.matched(source, run.spec.columns), most).records)


def _rows(dataset: Dataset, train: Records, test: Records) -> Rows:
    chosen: Any = slice(None)
    if dataset.columns is not None:
        chosen = np.array([column.kind != "category" for column in dataset.columns])
        if not chosen.any():
            raise DataError("all columns hold categories: PCA and NMF have no numbers to reduce")
    flat = lambda x: np.asarray(x)[..., chosen].reshape(len(x), -1)
    seen = [
        flat(np.ones(r.x.shape, bool) if r.observed is None else r.observed) for r in (train, test)
    ]
    values = np.where(seen[0], flat(train.x), 0).astype(np.float64)
    count = np.maximum(seen[0].sum(axis=0), 1)
    mean = values.sum(axis=0) / count
    spread = np.sqrt((np.where(seen[0], values - mean, 0) ** 2).sum(axis=0) / count)
    if not dataset.by_column:
        spread = np.ones(())
    elif dataset.kind == "series":  # a channel has one deviation at all times
        by_channel = (spread**2).reshape(-1, train.x.shape[-1]).mean(axis=0)
        spread = np.tile(np.sqrt(by_channel), len(spread) // len(by_channel))
    spread = np.where(spread > 0, spread, 1)
    into = lambda x: (flat(x).astype(np.float64) - mean) / spread
    first, second = (np.where(s, into(r.x), 0) for s, r in zip(seen, (train, test), strict=True))
    return Rows(first, second, seen[1], into)


def _of_run(run: Any, data: Rows, train: Records, test: Records) -> Reduced:
    options = lambda r: {"observed": r.observed, "extras": r.extras}
    flat = lambda z: np.asarray(z, np.float64).reshape(len(z), -1)
    first, second = (flat(run.encode(r.x, **options(r))) for r in (train, test))
    again = np.asarray(run.reconstruct(test.x, **options(test)))
    kept = data.into(again) if again.shape == np.shape(test.x) else None  # cropped ones do not fit
    return Reduced(first, second, kept)


def _pca(data: Rows, size: int, seed: int) -> Reduced:
    from sklearn.decomposition import PCA

    pca = PCA(min(size, *data.train.shape), svd_solver="full", random_state=seed).fit(data.train)
    codes = pca.transform(data.test)
    return Reduced(pca.transform(data.train), codes, pca.inverse_transform(codes))


def _nmf(data: Rows, size: int, seed: int) -> Reduced:
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    least = data.train.min(axis=0)
    unit = np.sqrt(np.mean((data.train - least) ** 2)) or 1.0  # it converges sooner near 1
    train, test = (data.train - least) / unit, np.maximum(data.test - least, 0) / unit
    options: Any = {"n_components": min(size, *train.shape), "init": "nndsvda"}
    nmf: Any = NMF(**options, max_iter=ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        first, second = nmf.fit_transform(train), nmf.transform(test)
    lengths = np.linalg.norm(nmf.components_, axis=1)  # without which codes have no common unit
    return Reduced(first * lengths, second * lengths, unit * second @ nmf.components_ + least)


def _umap(data: Rows, size: int, seed: int) -> Reduced:
    import umap  # pyright: ignore[reportMissingImports]

    fitted = umap.UMAP(n_components=size, random_state=seed).fit(data.train)
    return Reduced(
        np.asarray(fitted.transform(data.train)), np.asarray(fitted.transform(data.test))
    )


METHODS: dict[str, Callable[[Rows, int, int], Reduced]] = {"pca": _pca, "nmf": _nmf}
"""What a run is held against: from examples, dimensions and a seed to what they are reduced to."""


def _judged(
    data: Rows, part: Reduced, labels: list[np.ndarray] | None, neighbours: int
) -> dict[str, float]:
    row: dict[str, float] = {"dimensions": part.test.shape[1]}
    if part.again is not None:
        again = np.where(data.seen, part.again, data.test)
        row["explained_variance"] = explained_variance(data.test, again, 0.0)
    row["trustworthiness"] = trustworthiness(data.test, part.test, neighbours)
    row["continuity"] = continuity(data.test, part.test, neighbours)
    if labels is not None:
        has = [answer >= 0 for answer in labels]
        told = part.train[has[0]], labels[0][has[0]], part.test[has[1]], labels[1][has[1]]
        row["knn_accuracy"] = knn_accuracy(*told, neighbours)
        row["probe_accuracy"] = probe_accuracy(*told)
    return row


def plane(codes: Any) -> tuple[np.ndarray, tuple[str, str]]:
    """Codes as points in a plane, for a map of the latents.

    Args:
      codes: `[n, …]`.

    Returns:
      Points `[n, 2]` and what their axes are: two dimensions of a code as they are, one beside 0,
      of more the first two principal components, with the share of the codes' variance in each.

    Example:
      >>> import numpy as np
      >>> points, axes = plane(np.eye(4)[:3] * [3, 2, 0, 0])
      >>> points.shape, axes
      ((3, 2), ('first principal component (80%)', 'second principal component (20%)'))
    """
    codes = np.asarray(codes, np.float64)
    codes = codes.reshape(len(codes), math.prod(codes.shape[1:]))
    if codes.shape[1] == 1:
        return np.pad(codes, ((0, 0), (0, 1))), ("z₀", "")
    if codes.shape[1] == 2:
        return codes, ("z₀", "z₁")
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full").fit(codes)
    shares = pca.explained_variance_ratio_
    named = zip(("first", "second"), shares, strict=True)
    first, second = (f"{which} principal component ({share:.0%})" for which, share in named)
    return pca.transform(codes), (first, second)
