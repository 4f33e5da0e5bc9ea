"""A picture of the results of `sweep`: how fast each variant is, and how fast it could be."""

from collections.abc import Mapping
from typing import Any

from ae_jax.benchmarking.step import machine
from ae_jax.benchmarking.step.sweeps import label


def draw(path: Any, report: Mapping[str, Any]) -> None:
    """Writes the figure.

    Bars are examples a second of the median step, whiskers its quartiles, black lines what the
    limits measured on the spot would allow.

    Args:
      path: path of a PNG, local or `gs://`.
      report: report of `sweep`; variants that failed are left out.
    """
    from etils import epath

    from ae_jax.figures import figure_class

    results = [result for result in report["results"] if "error" not in result]
    height = 1.5 + 0.45 * max(2, len(results))
    figure = figure_class()(figsize=(8.0, height), layout="constrained")
    axes = figure.subplots()
    for row, result in enumerate(results):
        _bar(axes, row, result)
    names = [label(result["overrides"]) or "the config" for result in results]
    axes.set_yticks(range(len(results)), names, fontsize=8)
    axes.invert_yaxis()  # the first on top
    device = machine.name(report["environment"])
    axes.set(xlabel=f"examples/s on {device}; whiskers: quartiles; lines: limits measured there")
    axes.set_xlim(left=0)
    with epath.Path(path).open("wb") as file:
        figure.savefig(file, format="png", dpi=120)


def _bar(axes: Any, row: int, result: Mapping[str, Any]) -> None:
    batch, seconds = result["batch_size"], result["step_seconds"]
    slow, median, fast = (batch / seconds[q] for q in ("q75", "median", "q25"))
    whiskers = [[median - slow], [fast - median]]
    axes.barh(
        row, median, height=0.7, xerr=whiskers, color="tab:blue", ecolor="tab:gray", capsize=3
    )
    if result["limits"] is not None and result["limits"]["seconds"]:
        limit = batch / result["limits"]["seconds"]
        axes.plot([limit, limit], [row - 0.4, row + 0.4], color="black")
