"""Parallel coordinates: the hyperparameters of a population's members, coloured by a metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from ae_jax.errors import DataError, ShapeError
from ae_jax.figures.pictures import figure_class, save
from ae_jax.figures.populations import left_out, logarithmic, number

MARK = {
    "fontsize": 7,
    "ha": "right",
    "va": "center",
    "bbox": {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
}


def parallel_coordinates_figure(
    path: epath.Path,
    columns: Mapping[str, Any],
    metric: Any,
    label: str = "loss",
    title: str = "hyperparameters",
) -> None:
    """Writes a PNG of one line a member through all its hyperparameters, coloured by a metric.

    The metric is the last axis. Positive values that span a decade or more stand on a
    logarithmic scale, categories in the order of their names, each axis from its smallest value
    below to its largest. The lowest of the metric is drawn on top; members whose metric is not
    finite are grey, and end before it.

    Args:
      path: path of the PNG.
      columns: values by hyperparameter, from left to right, each `[m]`, numbers or names.
      metric: `[m]`.
      label: of the metric.
      title: above the picture.

    Raises:
      ShapeError: columns that are not `[m]` as the metric is.
      DataError: there is no column, or no finite metric.
    """
    metric = np.asarray(metric, np.float64)
    if not columns:
        raise DataError("there is no hyperparameter to draw: columns is empty")
    for name, values in columns.items():
        if np.shape(values) != metric.shape or metric.ndim != 1:
            raise ShapeError(
                f"columns['{name}'] and the metric must be [m], got {np.shape(values)} and "
                f"{metric.shape}"
            )
    finite = np.isfinite(metric)
    if not finite.any():
        raise DataError(f"none of the {len(metric)} values of {label} is finite")
    _draw_lines(path, dict(columns), metric, finite, label, title)


def _draw_lines(
    path: epath.Path,
    columns: dict[str, Any],
    metric: np.ndarray,
    finite: np.ndarray,
    label: str,
    title: str,
) -> None:
    names = [*columns, label]
    ends = metric[finite]
    places, ticks = zip(*map(scaled, [*columns.values(), ends]), strict=True)
    last = np.full(len(metric), np.nan)
    last[finite] = places[-1]
    lines = np.stack([*places[:-1], last], axis=1)
    figure = figure_class()(figsize=(1.4 + 1.5 * len(names), 3.6), layout="constrained")
    axis = figure.subplots()
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    norm = (LogNorm if logarithmic(ends) else Normalize)(ends.min(), ends.max())
    colours = ScalarMappable(norm=norm, cmap=colormaps["viridis_r"])
    for line in lines[~finite]:
        axis.plot(line, color="0.8", linewidth=0.8)
    order = np.argsort(-ends, kind="stable")
    for line, value in zip(lines[finite][order], ends[order], strict=True):
        axis.plot(line, color=colours.to_rgba(value), linewidth=1)
    for i, marks in enumerate(ticks):
        axis.axvline(i, color="0.5", linewidth=0.8)
        for place, text in marks:
            axis.text(i - 0.04, place, text, **MARK)
    axis.set_xticks(range(len(names)), names, fontsize=8)
    axis.set_yticks([])
    axis.set(xlim=(-0.5, len(names) - 0.8), ylim=(-0.06, 1.06))
    figure.colorbar(colours, ax=axis, label=label)
    axis.set_title(title + left_out(int((~finite).sum())), fontsize=9)
    save(figure, path)


def scaled(values: Any) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Where values stand on an axis from 0 to 1, and its marks.

    Args:
      values: `[m]`, numbers or names.

    Returns:
      places `[m]` (½ where all are the same), and (place, text) of each mark: every value where
      there are few, else ends and middle.

    Example:
      >>> places, marks = scaled([1e-4, 1e-2, 1e-3])
      >>> places.tolist(), [text for _, text in marks]
      ([0.0, 1.0, 0.5], ['0.0001', '0.001', '0.01'])
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        names, numbers = np.unique(array.astype(str), return_inverse=True)
        places = _between(numbers.astype(np.float64))
        return places, sorted(
            {(float(p), str(names[n])) for p, n in zip(places, numbers, strict=True)}
        )
    array = array.astype(np.float64)
    by_ratio = logarithmic(array)
    places = _between(np.log(array) if by_ratio else array)
    marked = np.unique(array)
    if len(marked) > 5:
        middle = np.sqrt(marked[0] * marked[-1]) if by_ratio else marked[[0, -1]].mean()
        marks = [(0.0, marked[0]), (0.5, middle), (1.0, marked[-1])]
    else:
        marks = [(float(places[array == value][0]), value) for value in marked]
    return places, [(place, number(value)) for place, value in marks]


def _between(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)
