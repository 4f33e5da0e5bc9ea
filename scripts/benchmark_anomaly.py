"""Anomaly detection by the default detector beside PCA and nearest neighbours, on many tables.

python scripts/benchmark_anomaly.py --folder=adbench/Classical --json=runs/anomaly.json
python scripts/benchmark_anomaly.py --source=idx:fashion-mnist

With --folder, its NPZ files, each `X` `[n, d]` and `y` (1: an anomaly), e.g. ADBench's; with
--source, the images of a labelled source, one class against the rest; with neither, the tables that
scikit-learn embeds, the smallest class as anomalies. Half of the normal examples train, the rest
and all anomalies test, standardised by the training half; AUROC, mean over seeds. The same command
goes on where it was cut off.

--split=published is the protocol of Livernoche et al. 2024 ("On diffusion modeling for anomaly
detection"): the first half trains; larger tables are cut to 50,000 rows, smaller than 1,000 drawn
from with replacement to that many, so that copies of a row stand on both sides. --split=random
draws the half and repeats nothing.
"""

import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax.cli import command
from ae_jax.errors import ConfigError, MissingFileError, UnknownNameError, nearest

MOST, LEAST = 50_000, 1_000
FOLDER = flags.DEFINE_string("folder", None, "Of NPZ files with X and y.")
SOURCE = flags.DEFINE_string("source", None, "Labelled images, as for ae.data.load.")
TABLES = flags.DEFINE_list("tables", [], "Only those whose name holds one of these.")
METHODS = flags.DEFINE_list("methods", [], "Only those, e.g. ae_jax; what is kept is shown too.")
SEEDS = flags.DEFINE_integer("seeds", 5, "Seeds 0, 1, …", lower_bound=1)
SPLIT = flags.DEFINE_enum("split", "published", ["published", "random"], "Which half trains.")
STEPS = flags.DEFINE_integer("steps", 1000, "Of each fit.", lower_bound=1)
SCORE = flags.DEFINE_string("score", "nearest", "A row of ae.evaluation.anomaly.SCORES.")
LATENT = flags.DEFINE_integer("latent_dim", 32, "Of the autoencoder of images.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "Where figures are kept; the same command goes on.")

Split = tuple[np.ndarray, np.ndarray, np.ndarray]


def halves(x: np.ndarray, y: np.ndarray, seed: int, how: str) -> Split:
    """Training examples, test examples, and which of these are anomalies; standardised."""
    from sklearn.preprocessing import StandardScaler

    rng = np.random.RandomState(seed)
    if how == "published" and len(y) < LEAST:
        rows = rng.choice(len(y), LEAST)
        x, y = x[rows], y[rows]
    if len(y) > MOST:
        rows = rng.choice(len(y), MOST, replace=False)
        x, y = x[rows], y[rows]
    normal = np.flatnonzero(y == 0)
    if how == "random":
        normal = rng.permutation(normal)
    half = round(len(normal) / 2)
    train, test = normal[:half], np.append(normal[half:], np.flatnonzero(y == 1))
    scaler: Any = StandardScaler().fit(x[train])
    return scaler.transform(x[train]), scaler.transform(x[test]), y[test]


def pca(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """PyOD's score: the distances to all components, each divided by its share of the variance."""
    from scipy.spatial.distance import cdist
    from sklearn.decomposition import PCA

    del seed
    fitted: Any = PCA(svd_solver="full").fit(train)
    with np.errstate(divide="ignore", invalid="ignore"):
        weighted = cdist(test, fitted.components_) / fitted.explained_variance_ratio_
    return np.nan_to_num(weighted.sum(axis=1), nan=0.0, posinf=1e300)


def neighbours(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """The distance to the fifth nearest training example, the published figures' too."""
    from sklearn.neighbors import NearestNeighbors

    del seed
    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0][:, -1]


def detector(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """The estimator with its defaults."""
    from ae_jax.estimators import AutoencoderOutlierDetector

    given = {"anomaly_score": SCORE.value, "steps": STEPS.value, "random_state": seed}
    return -AutoencoderOutlierDetector(**given).fit(train).score_samples(test)


def reconstruction(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """The error of PCA with 32 components."""
    from sklearn.decomposition import PCA

    fitted = PCA(32, random_state=seed).fit(train)
    return ((test - fitted.inverse_transform(fitted.transform(test))) ** 2).sum(axis=1)


def images(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """The same score of a plain autoencoder trained on one class."""
    data = ae.data.from_arrays(train, test_fraction=0.0)
    recipe = ae.recipes.autoencoder(LATENT.value)
    run = ae.fit(recipe, data, steps=STEPS.value, seed=seed, progress=False)
    return ae.evaluation.anomaly.detector(run, train, SCORE.value).scores(test)


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype(np.float32) / 255


TABULAR: dict[str, Callable[..., np.ndarray]] = {
    "PCA": pca,
    "nearest neighbours": neighbours,
    "ae_jax": detector,
}
PICTURES: dict[str, Callable[..., np.ndarray]] = {
    "PCA, 32": lambda train, test, seed: reconstruction(flat(train), flat(test), seed),
    "ae_jax": images,
}


def embedded() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """scikit-learn's tables, the smallest class as anomalies."""
    from sklearn import datasets

    for name in ("breast_cancer", "wine", "iris", "digits"):
        x, label = getattr(datasets, f"load_{name}")(return_X_y=True)
        yield name, x, (label == np.bincount(label).argmin()).astype(int)


def in_folder(folder: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The NPZ files of a folder in the order of their names."""
    files = sorted(pathlib.Path(folder).expanduser().glob("*.npz"))
    if not files:
        raise MissingFileError(f"'{folder}' holds no .npz file; it must hold ADBench's tables")
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            if not {"X", "y"} <= set(arrays):
                raise ConfigError(f"'{file}' has {sorted(arrays)}, and must have 'X' and 'y'")
            yield file.stem, np.asarray(arrays["X"], np.float64), np.asarray(arrays["y"], int)


def tabular(seed: int) -> Iterator[tuple[str, Split]]:
    """Each table's split of this seed."""
    rows = in_folder(FOLDER.value) if FOLDER.value else embedded()
    for name, x, y in rows:
        if not TABLES.value or any(part in name for part in TABLES.value):
            yield name, halves(x, y, seed, SPLIT.value)


def pictures(seed: int) -> Iterator[tuple[str, Split]]:
    """One class of the training split, and all of the test split, for each class."""
    del seed
    data = ae.data.load(str(SOURCE.value))
    train, test = (part.read(np.arange(len(part))) for part in (data.train, data.test))
    for label in np.unique(train.extras["label"]):
        name = f"class {label}"
        if not TABLES.value or any(part in name for part in TABLES.value):
            anomalous = (test.extras["label"] != label).astype(int)
            yield name, (train.x[train.extras["label"] == label], test.x, anomalous)


def table(figures: dict[str, dict[str, dict[str, float]]], methods: Any) -> str:
    """Markdown: a row a table, the mean over seeds in percent."""
    mean = lambda by_seed: 100 * float(np.mean(list(by_seed.values())))
    methods = [m for m in methods if all(found.get(m) for found in figures.values())]
    rows = [["data", *methods]]
    for name, found in figures.items():
        rows.append([name, *(f"{mean(found[method]):.1f}" for method in methods)])
    total = [np.mean([mean(found[method]) for found in figures.values()]) for method in methods]
    rows.append([f"mean of {len(figures)}", *(f"{value:.2f}" for value in total)])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def main() -> None:
    """Runs the command."""
    if FOLDER.value and SOURCE.value:
        raise ConfigError("--folder is of tables and --source of images; give one of them")
    of_images = SOURCE.value is not None
    splits, methods = (pictures, PICTURES) if of_images else (tabular, TABULAR)
    for method in METHODS.value:
        if method not in methods:
            raise UnknownNameError(f"no method is called '{method}'{nearest(method, methods)}")
    if not FOLDER.value and not of_images:
        print("no --folder: the tables that scikit-learn embeds, their smallest class anomalous")
    kept = pathlib.Path(JSON.value) if JSON.value else None
    figures = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    for seed in range(SEEDS.value):
        for name, (train, test, anomalous) in splits(seed):
            found = figures.setdefault(name, {})
            for method in METHODS.value or methods:
                by_seed = found.setdefault(method, {})
                if str(seed) not in by_seed:
                    scores = methods[method](train, test, seed)
                    by_seed[str(seed)] = ae.evaluation.anomaly.ranking(scores, anomalous)["auroc"]
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                temporary = kept.with_suffix(".part")
                temporary.write_text(json.dumps(figures, indent=1))
                os.replace(temporary, kept)
    print(table(figures, methods))


if __name__ == "__main__":
    command.main(main)
