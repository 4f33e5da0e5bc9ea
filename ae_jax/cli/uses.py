"""What `ae-jax evaluate` measures of a run's uses: which fit it, their tables and figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

import ae_jax as ae
from ae_jax import evaluation, figures
from ae_jax.data import conditions
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import readable, sampled
from ae_jax.errors import ConfigError, PartError, UnknownNameError, nearest
from ae_jax.evaluation import missing
from ae_jax.evaluation.denoise import LEVEL

NEIGHBOURS = 5
SHOWN = 8  # samples above their nearest training examples
MAPPED = 2_000  # codes on the map
FACTORS = "factors"


class Use(NamedTuple):
    """One use of a run.

    Attributes:
      unfit: from run and data to why it cannot be measured; None: it can.
      measure: from run and data to plain numbers by name, nested.
      draw: `(run, dataset, folder, table)`, writes its figures, of what was measured, too.
      encodes: whether it takes codes of examples, and so an encoder.
    """

    unfit: Callable[[ae.Run, Dataset], str | None]
    measure: Callable[[ae.Run, Dataset], Mapping[str, Any]]
    draw: Callable[[ae.Run, Dataset, epath.Path, Mapping[str, Any]], None] | None = None
    encodes: bool = True

    def reason_against(self, run: ae.Run, dataset: Dataset) -> str | None:
        """Why it cannot be measured of this run and its data; None: it can."""
        if self.encodes and not run.has_encoder:
            return "it has no encoder, and so no codes of examples"
        return self.unfit(run, dataset)


def chosen(run: ae.Run, dataset: Dataset, names: Sequence[str] | None) -> dict[str, Use]:
    """The uses of these names; None: all that fit the run and its data.

    Raises:
      UnknownNameError: a use that there is not.
      ConfigError: one that does not fit; says why.
    """
    if names is None:
        return {name: use for name, use in USES.items() if use.reason_against(run, dataset) is None}
    for name in names:
        if name not in USES:
            raise UnknownNameError(f"--metrics has no '{name}'{nearest(name, USES)}")
        reason = USES[name].reason_against(run, dataset)
        if reason is not None:
            raise ConfigError(f"--metrics={name} does not fit this run: {reason}")
    return {name: USES[name] for name in names}


def lines(table: Mapping[str, Any], name: str = "") -> list[str]:
    """A nested table of numbers as lines to print, the innermost numbers of a row in one.

    Example:
      >>> lines({"examples": 9, "pca": {"dimensions": 2, "continuity": 0.5}})
      ['examples 9', 'pca                          dimensions 2  continuity 0.5']
    """
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    told = (f"{k} {v:.4g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in plain.items())
    rows = [f"{name:<28} {'  '.join(told)}".strip()] if plain else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            rows += lines(value, f"{name} {key}".strip())
    return rows


def _few(dataset: Dataset, most: int) -> str | None:
    size = len(dataset.test)
    return None if size > most else f"it needs more than {most} test examples, got {size}"


def _is_labelled(dataset: Dataset) -> bool:
    return all("label" in part.spec.extras for part in (dataset.train, dataset.test))


def _unfit_reduction(run: ae.Run, dataset: Dataset) -> str | None:
    if run.spec.kind == "tokens":
        return "tokens are no numbers for PCA and NMF"
    return _few(dataset, 2 * NEIGHBOURS)


def _map(run: ae.Run, dataset: Dataset, folder: epath.Path, table: Mapping[str, Any]) -> None:
    del table
    records = readable(sampled(dataset.test, MAPPED).records)
    codes = run.encode(records.x, observed=records.observed, extras=records.extras)
    points, axes = evaluation.plane(codes)
    labels = records.extras.get("label")
    whole = labels is not None and np.ndim(labels) == 1 and np.asarray(labels).dtype.kind in "iu"
    figures.map_figure(folder / "map.png", points, labels if whole else None, axes)


def _unfit_generation(run: ae.Run, dataset: Dataset) -> str | None:
    if not run.has_prior:
        return "it has no prior to sample from"
    if run.spec.kind == "tokens" and not _is_labelled(dataset):
        return "tokens without labels have no features to be compared in"
    return _few(dataset, NEIGHBOURS)


def _copies(run: ae.Run, dataset: Dataset, folder: epath.Path, table: Mapping[str, Any]) -> None:
    del table
    if not figures.is_image(run.spec.event_shape) or run.data_shape != run.spec.event_shape:
        return
    records = readable(sampled(dataset.test, SHOWN).records)
    samples = run.sample(len(records.x), extras=records.extras)
    nearest, _ = evaluation.nearest_training(samples, dataset, lambda x: x.reshape(len(x), -1))
    sets = {"sample": samples, "nearest training example": nearest}
    figures.examples_figure(folder / "nearest.png", sets, *run.display_range, "samples")


def _unfit_denoising(run: ae.Run, dataset: Dataset) -> str | None:
    if not figures.is_image(run.spec.event_shape):
        return "its examples are no images"
    if _noise(run) is None:
        return "it was not trained on noise of a level"
    return _few(dataset, 0)


def _noise(run: ae.Run) -> tuple[str, float] | None:
    """Kind and level of the noise that a run was trained to remove."""
    node = run.config.corruption
    if not isinstance(node, Mapping) or node.get("name") not in LEVEL:
        return None
    kind = node["name"]
    return kind, float(node[LEVEL[kind]])


def _denoising(run: ae.Run, dataset: Dataset) -> Mapping[str, Any]:
    kind, level = _noise(run) or ("gaussian", 0.3)
    limit = 1.0 if LEVEL[kind] == "rate" else np.inf
    levels = [min(level * share, limit) for share in (0.5, 1.0, 1.5)]
    return evaluation.denoise(run, dataset, noises={kind: levels}, num=50)


def _before_and_after(
    run: ae.Run, dataset: Dataset, folder: epath.Path, table: Mapping[str, Any]
) -> None:
    kind, level = _noise(run) or ("gaussian", 0.3)
    sets = evaluation.before_and_after(run, dataset, kind, level)
    figures.examples_figure(folder / "denoised.png", sets, 0.0, 1.0, f"{kind} {level:g}")
    figures.levels_figure(folder / "noise_levels.png", table)


def _unfit_scarce_labels(run: ae.Run, dataset: Dataset) -> str | None:
    if not _is_labelled(dataset):
        return "its data have no 'label'"
    if any(c.part == "encoder" and c.name == "label" for c in conditions.of_model(run.model)):
        return "its encoder is told the label"
    labels = np.asarray(readable(sampled(dataset.train).records).extras["label"])
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(np.unique(labels[labels >= 0])) < 2:
        return "its 'label' is not of two classes or more"
    return _few(dataset, 0)


def _unfit_imputation(run: ae.Run, dataset: Dataset) -> str | None:
    try:
        missing.require_imputable(run)
    except PartError as error:
        return str(error)
    if len(dataset.train) <= missing.NEIGHBOURS:
        return f"it needs more than {missing.NEIGHBOURS} training examples"
    return _few(dataset, 0)


def _unfit_disentanglement(run: ae.Run, dataset: Dataset) -> str | None:
    del run
    if FACTORS not in dataset.test.spec.extras:
        return f"its data have no known factors as extras['{FACTORS}']"
    return _few(dataset, 100)


def _disentanglement(run: ae.Run, dataset: Dataset) -> dict[str, float]:
    records = readable(sampled(dataset.test, 5_000).records)
    factors = np.asarray(records.extras[FACTORS])
    varying = factors.reshape(len(factors), -1)
    varying = varying[:, (varying != varying[0]).any(axis=0)]
    codes = run.encode(records.x, observed=records.observed, extras=records.extras)
    return evaluation.disentanglement(codes, varying)


USES: dict[str, Use] = {
    "reduction": Use(
        _unfit_reduction, lambda run, data: dict(evaluation.reduction(run, data)), _map
    ),
    "generation": Use(_unfit_generation, evaluation.generation, _copies, encodes=False),
    "denoising": Use(_unfit_denoising, _denoising, _before_and_after),
    "imputation": Use(_unfit_imputation, evaluation.missing_entries),
    "scarce_labels": Use(_unfit_scarce_labels, evaluation.scarce_labels),
    "disentanglement": Use(_unfit_disentanglement, _disentanglement),
}
"""What is measured unless `--metrics` chooses."""
