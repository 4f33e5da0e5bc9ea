"""Maps of codes in a plane."""

import numpy as np
from etils import epath

from ae_jax.figures.pictures import save, subplots

NAMED = 20
"""As many classes have a colour and an entry of their own; of more, colours follow the value."""


def map_figure(
    path: epath.Path,
    points: np.ndarray,
    labels: np.ndarray | None = None,
    axes: tuple[str, str] = ("", ""),
    title: str = "codes",
) -> None:
    """Writes a PNG of points in a plane, coloured by their labels.

    Args:
      path: of the PNG.
      points: `[n, 2]`, as `ae_jax.evaluation.plane` gives them.
      labels: whole numbers `[n]`, -1 for none, which is grey; None: all points are alike.
      axes: what the axes are.
      title: above the picture.
    """
    figure, panels = subplots(1, 1, 6.0, 5.0)
    axis = panels[0, 0]
    style = {"s": 6, "linewidths": 0}
    labels = np.full(len(points), -1) if labels is None else np.asarray(labels)
    classes = np.unique(labels[labels >= 0])
    if len(classes) <= NAMED:
        axis.scatter(*points[labels < 0].T, color="0.7" if len(classes) else "C0", **style)
        for i, value in enumerate(classes):
            colour = f"C{i}" if len(classes) <= 10 else _tab20(i)
            axis.scatter(*points[labels == value].T, color=colour, label=str(value), **style)
        if len(classes):
            figure.legend(fontsize=8, markerscale=3, loc="outside right upper")
    else:
        shown = axis.scatter(*points.T, c=labels, cmap="viridis", **style)
        figure.colorbar(shown)
    axis.set(xlabel=axes[0], ylabel=axes[1])
    axis.set_title(title, fontsize=9)
    save(figure, path)


def _tab20(i: int) -> tuple[float, ...]:
    from matplotlib import colormaps

    return colormaps["tab20"](i)
