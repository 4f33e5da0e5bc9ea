"""Figures of a trained population: its hyperparameters, learning curves, and rate–distortion."""

import math
from typing import Any

import numpy as np
from etils import epath

from ae_jax import _workdir as storage
from ae_jax import figures
from ae_jax.population.population import Population

SEED, BETA = "training.seed", "objective.kl.weight"


def draw(population: Population, folder: Any, metric: str | None = None) -> list[str]:
    """Writes PNGs of a population's members against each other.

    `parallel.png` has a line a member through its values, coloured by the metric; of a population
    with a workdir `curves.png` has the median and quartiles of its learning curves, grouped by the
    first field that varies beside the seed, with a cross where a member was stopped and a ring
    where one went on from another; where nothing but the weight of a KL and the seed vary,
    `rate_distortion.png` has KL and reconstruction, nats, over that weight, of the members that
    trained to the end with one.

    Values are those at the end. Curves of a population that a selection has given other values are
    not grouped.

    Args:
      population: trained; see `ae.fit_population`.
      folder: where to, local or `gs://`.
      metric: a name in the table's metrics; None: that by which members were selected, or else the
        loss.

    Returns:
      The names of what was written; none before the first evaluation.
    """
    if not population.table:
        return []
    metric = population.ranked_by[0] if metric is None else metric
    folder, split = epath.Path(folder), _split(population)
    last = [row["values"] for row in population.table]
    varied = {path: [values[path] for values in last] for path in last[0]}
    changed = any("source" in event for event in population.events)
    values = _metric(population, split, metric)
    drawn = []
    if np.isfinite(values).any():
        figures.parallel_coordinates_figure(folder / "parallel.png", varied, values, metric)
        drawn.append("parallel.png")
    if population.workdir is not None:
        points = storage.read_metrics(population.workdir)
        path = next((path for path in varied if path != SEED and not changed), None)
        groups = None if path is None else varied[path]
        label = "" if path is None else path
        marks = population.events
        figures.bands_figure(folder / "curves.png", points, None, groups, split, label, marks)
        drawn.append("curves.png")
    ended = [row["status"] != "stopped" for row in population.table]
    rate, distortion = (
        np.where(ended, _metric(population, split, name), math.nan)
        for name in ("kl", "reconstruction")
    )
    if (
        not changed
        and BETA in varied
        and varied.keys() <= {BETA, SEED}
        and np.isfinite(rate + distortion).any()
    ):
        beta = varied[BETA]
        figures.rate_distortion_figure(folder / "rate_distortion.png", beta, rate, distortion)
        drawn.append("rate_distortion.png")
    return drawn


def _split(population: Population) -> str:
    known = population.table[0]["metrics"]
    return next(split for split in ("validation", "test", "train") if split in known)


def _metric(population: Population, split: str, name: str) -> np.ndarray:
    """Last values of a metric, `[members]`, NaN of those that have diverged or have none."""
    values = []
    for row in population.table:
        value = row["metrics"][split].get(name)
        values.append(math.nan if value is None or row["status"] == "diverged" else float(value))
    return np.array(values)
