"""Runs of the same data side by side: samples, reconstructions, cost, spread over seeds."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax.config import to_plain
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Records, readable, sampled
from ae_jax.errors import ConfigError, PartError
from ae_jax.evaluation.corrupted import psnr
from ae_jax.evaluation.generation import Features, default_features, generation

PERFECT = "training data"
"""The row of what a generator that draws training examples would score."""


def comparison(
    runs: Mapping[str, Any],
    dataset: Dataset,
    *,
    features: Features | None = None,
    label: str = "label",
    num: int = 2_000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """One row a run, all judged in the same features on the same examples.

    Args:
      runs: Runs by name, of the same data.
      dataset: that data, e.g. `run.dataset()`.
      features: see `ae_jax.evaluation.generation`; None: those of one small classifier trained on
        the data's labels, or the examples themselves without labels.
      label: The entry of `extras` that the classifier learns.
      num: The most examples, and samples, that are looked at.
      seed: Seed of the samples and of the classifier.

    Returns:
      By name, and under `PERFECT` for the training data themselves: the scores of
      `ae_jax.evaluation.generation` where the run has a prior; "psnr", in dB, of reconstructed test
      examples where it has an encoder; "parameters", how many numbers were trained; "wall_seconds"
      of training where the run has ended.

    Raises:
      ConfigError: no runs, or runs of other data than the first one's.

    Example:
      >>> import ae_jax as ae
      >>> run = ae.fit(ae.recipes.vae(2), "digits", steps=2, progress=False)
      >>> features = lambda x: x.reshape(len(x), -1)
      >>> table = comparison({"vae": run}, run.dataset(), features=features, num=100)
      >>> sorted(table), table["vae"]["parameters"] > 0
      (['training data', 'vae'], True)
    """
    if not runs:
        raise ConfigError("there are no runs to compare; name one workdir at least")
    _require_same_data(runs)
    fixed = features or default_features(dataset, label, seed)
    held = readable(sampled(dataset.test, num).records)
    table: dict[str, dict[str, Any]] = {}
    for name, run in runs.items():
        row: dict[str, Any] = {}
        if run.has_prior:
            scores = generation(run, dataset, features=fixed, label=label, num=num, seed=seed)
            table.setdefault(PERFECT, scores["training"])
            row |= scores["samples"]
        row |= _reconstruction(run, held)
        row["parameters"] = sum(np.size(leaf) for leaf in jax.tree.leaves(run.variables.params))
        if "wall_seconds" in run.summary:
            row["wall_seconds"] = run.summary["wall_seconds"]
        table[name] = row
    return table


def over_seeds(
    table: Mapping[str, Mapping[str, Any]], runs: Mapping[str, Any]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and deviation of each column over runs that differ in nothing but the seed.

    Args:
      table: of `comparison`.
      runs: those it was made of.

    Returns:
      `{name of the first such run: {column: (mean, deviation)}}`; the deviation, over n - 1, is NaN
      of a single run.
    """
    groups: dict[str, list[str]] = {}
    for name, run in runs.items():
        config = to_plain(run.config)
        config["training"]["seed"] = None
        groups.setdefault(repr(config), []).append(name)
    spread: dict[str, dict[str, tuple[float, float]]] = {}
    for names in groups.values():
        columns = {column for name in names for column in table[name]}
        values = {c: [float(table[n][c]) for n in names if c in table[n]] for c in columns}
        deviation = lambda v: float(np.std(v, ddof=1)) if len(v) > 1 else float("nan")
        spread[names[0]] = {c: (float(np.mean(v)), deviation(v)) for c, v in values.items()}
    return spread


def _require_same_data(runs: Mapping[str, Any]) -> None:
    first, *others = runs.items()
    for name, run in others:
        here, there = run.config.data.source, first[1].config.data.source
        if here != there or run.data_shape != first[1].data_shape:
            raise ConfigError(
                f"'{name}' was trained on {here!r} {run.data_shape}, '{first[0]}' on {there!r} "
                f"{first[1].data_shape}: runs are compared on the same data"
            )


def _reconstruction(run: Any, held: Records) -> dict[str, float]:
    if run.spec.kind == "tokens" or held.observed is not None:
        return {}  # decibels say nothing of tokens, nor of entries that nobody knows
    try:
        again = run.reconstruct(held.x, observed=held.observed, extras=held.extras)
    except PartError:  # without an encoder there is nothing to reconstruct from
        return {}
    if run.data_shape != again.shape[1:]:
        return {}
    return {"psnr": float(psnr(held.x, again, *run.display_range).mean())}
