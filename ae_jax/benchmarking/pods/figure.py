"""A picture of the reports of `compile_for_pod`: memory, the bound of a step, weak scaling."""

from collections.abc import Mapping, Sequence
from typing import Any

from ae_jax.benchmarking.hardware.chips import GIB
from ae_jax.benchmarking.pods.report import label

KINDS = ("arguments", "temporaries", "code")
TIMES = ("compute", "memory", "collective")


def draw(path: Any, reports: Sequence[Mapping[str, Any]]) -> None:
    """Writes the figure.

    Args:
      path: path of a PNG, local or `gs://`.
      reports: reports of `compile_for_pod`; of those that do not fit only memory is shown.
    """
    from etils import epath

    from ae_jax.figures import figure_class

    figure = figure_class()(figsize=(14.0, 2.0 + 0.4 * max(3, len(reports))), layout="constrained")
    memory, times, scaling = figure.subplots(1, 3)
    _memory(memory, reports)
    fitting = [report for report in reports if "roofline" in report]
    _times(times, fitting)
    for report in fitting:
        rows = report["weak_scaling"]
        chips, efficiencies = zip(*((row["chips"], row["efficiency"]) for row in rows), strict=True)
        scaling.plot(chips, efficiencies, marker="o", markersize=3, label=label(report))
    scaling.set(xscale="log", xlabel="chips", title="weak scaling, at most", ylim=(0, 1.05))
    if fitting:
        scaling.legend(fontsize=7)
    with epath.Path(path).open("wb") as file:
        figure.savefig(file, format="png", dpi=120)


def _memory(axes: Any, reports: Sequence[Mapping[str, Any]]) -> None:
    rows, left = range(len(reports)), [0.0] * len(reports)
    for kind in (*KINDS, "total"):
        known = lambda memory: kind in memory and (kind in KINDS or KINDS[0] not in memory)  # noqa: B023
        sizes = [r["memory"][kind] / GIB if known(r["memory"]) else 0.0 for r in reports]
        if any(sizes):
            axes.barh(rows, sizes, left=left, label="too much" if kind == "total" else kind)
        left = [before + size for before, size in zip(left, sizes, strict=True)]
    for limit in {report["memory"]["hbm"] for report in reports}:
        axes.axvline(limit / GIB, color="black", linestyle=":")
    axes.set_yticks(rows, [label(report) for report in reports], fontsize=7)
    axes.set(xlabel="GiB of a chip, dotted: all it has", title="memory")
    axes.legend(fontsize=7)


def _times(axes: Any, reports: Sequence[Mapping[str, Any]]) -> None:
    height = 0.8 / len(TIMES)
    for number, kind in enumerate(TIMES):
        places = [row + (number - 1) * height for row in range(len(reports))]
        values = [1e3 * report["roofline"][f"{kind}_seconds"] for report in reports]
        axes.barh(places, values, height=height, label=kind)
    axes.set_yticks(range(len(reports)), [""] * len(reports))
    axes.set(xlabel="ms a step, at least", title="roofline", xscale="log")
    if reports:
        axes.legend(fontsize=7)
