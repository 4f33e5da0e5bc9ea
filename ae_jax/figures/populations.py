"""Figures of a population: rate against distortion, learning curves with a band."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from ae_jax.errors import DataError, ShapeError, nearest
from ae_jax.figures.pictures import save, subplots

QUARTILES = (0.25, 0.5, 0.75)
NAMED = 10
"""As many groups stand in a legend; of more, as many evenly apart."""
WIDE = 10.0
"""From this ratio of largest to smallest on, positive values are drawn on a logarithmic scale."""
NOT_METRICS = {"step", "split", "member", "skipped", "examples_per_second"}


class Band(NamedTuple):
    """Quartiles of a group of members over steps.

    Attributes:
      steps: `[s]`, at which there is a finite member.
      low, middle, high: `[s]`, lower quartile, median and upper quartile of the finite members.
      diverged: how many members were not finite at some step.
    """

    steps: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    diverged: int


def rate_distortion_figure(
    path: epath.Path, beta: Any, rate: Any, distortion: Any, title: str = "rate and distortion"
) -> None:
    """Writes a PNG of distortion over rate, nats, a point a member, coloured by β.

    Members of one β are its seeds: a line joins their medians in the order of β, a band reaches
    from quartile to quartile of their distortion. Members that are not finite are left out and
    counted in the title.

    Args:
      path: path of the PNG.
      beta: `[m]`, the weight of the rate.
      rate: `[m]`, KL(q(z | x) ‖ p(z)) of each member, mean over examples.
      distortion: `[m]`, -E log p(x | z), mean over examples.
      title: above the picture.

    Raises:
      ShapeError: the three are not `[m]` alike.
      DataError: no member is finite.
    """
    beta, rate, distortion, count = _finite(beta=beta, rate=rate, distortion=distortion)
    figure, panels = subplots(1, 1, 6.0, 4.2)
    axis = panels[0, 0]
    groups = np.unique(beta)
    of_group = lambda values: (
        np.array([np.quantile(values[beta == b], QUARTILES) for b in groups]).T
    )
    low, middle, high = of_group(distortion)
    along = of_group(rate)[1]
    axis.fill_between(along, low, high, color="0.85", linewidth=0)
    axis.plot(along, middle, color="0.4", linewidth=1)
    norm = "log" if logarithmic(beta) else None
    shown = axis.scatter(rate, distortion, c=beta, norm=norm, cmap="viridis", s=14)
    figure.colorbar(shown, label="β")
    axis.set(xlabel="rate, nats", ylabel="distortion, nats")
    axis.set_title(title + left_out(count), fontsize=9)
    axis.grid(alpha=0.3)
    save(figure, path)


def bands(
    points: Sequence[Mapping[str, Any]],
    name: str,
    groups: Sequence[Any] | None = None,
    split: str = "test",
) -> dict[Any, Band]:
    """Median and quartiles over the members of each group, step by step.

    Args:
      points: log points of all members, each with "step", "split", "member" and metrics.
      name: of the metric.
      groups: the group of each member, by its number; None: all are one group, None.
      split: whose points.

    Returns:
      A Band by group, in the order of the groups; of those without a finite value none.

    Raises:
      ShapeError: a member's number is beyond the groups.

    Example:
      >>> point = lambda member, loss: dict(step=1, split="test", member=member, loss=loss)
      >>> bands([point(0, 1.0), point(1, 3.0), point(2, 2.0)], "loss")[None].middle.tolist()
      [2.0]
    """
    chosen = [point for point in points if point["split"] == split and name in point]
    most = max((point["member"] for point in chosen), default=-1)
    if groups is not None and most >= len(groups):
        raise ShapeError(f"groups must be one a member, got {len(groups)} and the member {most}")
    of_member = (lambda member: None) if groups is None else groups.__getitem__
    by_group: dict[Any, dict[int, list[float]]] = {}
    diverged: dict[Any, set[int]] = {}
    for point in chosen:
        group, value = of_member(point["member"]), point[name]
        if value is not None and math.isfinite(value):
            by_group.setdefault(group, {}).setdefault(point["step"], []).append(value)
        else:
            diverged.setdefault(group, set()).add(point["member"])
    by_step = {}
    for group in sorted(by_group) if groups is not None else by_group:
        steps = sorted(by_group[group])
        quantiles = [np.quantile(by_group[group][step], QUARTILES) for step in steps]
        low, middle, high = np.array(quantiles).T
        by_step[group] = Band(np.array(steps), low, middle, high, len(diverged.get(group, ())))
    return by_step


def bands_figure(
    path: epath.Path,
    points: Sequence[Mapping[str, Any]],
    names: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    split: str = "test",
    label: str = "group",
    events: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes a PNG of learning curves: medians of groups of members, with quartiles as a band.

    Members that are not finite at a step are not part of its median; the legend counts them. A
    cross stands where a member was stopped, a ring where it went on from another's state, at its
    last value until then.

    Args:
      path: path of the PNG.
      points: log points of all members; see `bands`.
      names: metrics, a panel each; None: all there are.
      groups: the group of each member, such as its learning rate; None: all are one group.
      split: whose points.
      label: what the groups are.
      events: what a selection has made of members; see `ae.Population`.

    Raises:
      DataError: there is no finite point of the split, or none of a metric.
    """
    of_split = [point for point in points if point["split"] == split]
    known = sorted({name for point in of_split for name in point} - NOT_METRICS)
    names = known if names is None else list(names)
    if unknown := [name for name in names if name not in known]:
        raise DataError(f"no point of '{split}' has '{unknown[0]}'{nearest(unknown[0], known)}")
    if not names:
        splits = sorted({str(point["split"]) for point in points})
        raise DataError(f"there is no point of the split '{split}'{nearest(split, splits)}")
    columns = min(3, len(names))
    figure, axes = subplots(math.ceil(len(names) / columns), columns, 4.0, 2.8)
    for axis, name in zip(axes.flat, names, strict=False):
        _draw_bands(axis, bands(points, name, groups, split), label)
        _draw_events(axis, [point for point in of_split if name in point], name, events)
        axis.set_title(f"{name}, {split}")
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    save(figure, path)


def _draw_bands(axis: Any, by_step: Mapping[Any, Band], label: str) -> None:
    from matplotlib import colormaps

    apart = max(1, math.ceil(len(by_step) / NAMED))
    for i, (group, band) in enumerate(by_step.items()):
        colour = "C0" if len(by_step) == 1 else colormaps["viridis"](i / (len(by_step) - 1))
        text = "all" if group is None else f"{label} {number(group)}"
        text += f" ({band.diverged} diverged)" if band.diverged else ""
        shown = text if i % apart == 0 or band.diverged else None
        marker = "o" if len(band.steps) == 1 else None
        axis.plot(band.steps, band.middle, color=colour, label=shown, marker=marker, markersize=3)
        axis.fill_between(band.steps, band.low, band.high, color=colour, alpha=0.25, linewidth=0)


def _draw_events(
    axis: Any,
    points: Sequence[Mapping[str, Any]],
    name: str,
    events: Sequence[Mapping[str, Any]],
) -> None:
    """Marks where members were stopped, and where they went on from others."""
    for key, marker, text in (("rung", "x", "stopped"), ("source", "$\\circ$", "from another")):
        marked = []
        for event in (event for event in events if key in event):
            mine = [
                point
                for point in points
                if point["member"] == event["member"] and point["step"] <= event["step"]
            ]
            marked += [(event["step"], mine[-1][name])] if mine else []
        finite = [(s, v) for s, v in marked if v is not None and math.isfinite(v)]
        if finite:
            shown = f"{text} ({len(finite)})"
            axis.scatter(*zip(*finite, strict=True), marker=marker, s=18, color="0.3", label=shown)


def logarithmic(values: np.ndarray) -> bool:
    """Whether positive values span a decade or more."""
    return bool(values.min() > 0 and values.max() >= WIDE * values.min())


def number(value: Any) -> str:
    """A number in few digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float | int | np.number) else str(value)


def _finite(**arrays: Any) -> tuple[Any, ...]:
    wide = {name: np.asarray(values, np.float64) for name, values in arrays.items()}
    shapes = {name: values.shape for name, values in wide.items()}
    if len(set(shapes.values())) > 1 or next(iter(wide.values())).ndim != 1:
        listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeError(f"{', '.join(arrays)} must be [m] alike, got {listing}")
    kept = np.logical_and.reduce([np.isfinite(values) for values in wide.values()])
    if not kept.any():
        raise DataError(f"none of the {len(kept)} members is finite in {', '.join(arrays)}")
    return *(values[kept] for values in wide.values()), int((~kept).sum())


def left_out(count: int) -> str:
    """The end of a title that counts members which are not drawn."""
    return f" ({count} diverged)" if count else ""
