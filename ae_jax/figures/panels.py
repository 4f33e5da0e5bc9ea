"""Small multiples: series channel by channel, tables column by column."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from ae_jax.figures import pictures
from ae_jax.types import Column

SERIES = 4  # as many examples and channels of series are shown
COLUMNS = 32  # and columns of a table
AGAINST = {"input", "reconstruction"}


def series_figure(path: epath.Path, sets: Mapping[str, np.ndarray], title: str) -> None:
    """Writes a PNG of series: of several sets one column an example and one row a channel.

    Below "input" and "reconstruction" stands their difference, the residual, on the same scale. A
    single set is laid out in rows, all channels of an example in one panel.

    Args:
      path: path of the PNG.
      sets: arrays by label, each `[n, time, channels]`.
      title: above the picture.
    """
    arrays = {label: np.asarray(values, np.float32) for label, values in sets.items()}
    if len(arrays) == 1:
        return _series_panels(path, next(iter(arrays.values())), title)
    first = next(iter(arrays.values()))
    examples, channels = min(SERIES, len(first)), min(SERIES, first.shape[-1])
    residual = arrays.keys() >= AGAINST
    figure, axes = pictures.subplots(
        channels + residual, examples, 3.2, 1.3, sharex=True, sharey=True
    )
    for i, j in np.ndindex(channels, examples):
        for label, values in arrays.items():
            style = "--" if label == "reconstruction" else "-"
            axes[i, j].plot(values[j, :, i], style, label=label, linewidth=1)
        axes[i, 0].set_ylabel(f"channel {i}", fontsize=8)
    for j in range(examples if residual else 0):
        difference = arrays["input"][j] - arrays["reconstruction"][j]
        axes[-1, j].plot(difference[:, :channels], linewidth=0.8)
        axes[-1, 0].set_ylabel("residual", fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside upper right")
    figure.suptitle(title, fontsize=9)
    return pictures.save(figure, path)


def _series_panels(path: epath.Path, values: np.ndarray, title: str) -> None:
    count = min(SERIES * pictures.ROW, len(values))
    columns = min(pictures.ROW, count)
    figure, axes = pictures.subplots(
        math.ceil(count / columns), columns, 1.6, 1.2, sharex=True, sharey=True
    )
    for axis, series in zip(axes.flat, values[:count], strict=False):
        axis.plot(series[:, :SERIES], linewidth=0.8)
        axis.tick_params(labelsize=6)
    figure.suptitle(title, fontsize=9)
    pictures.save(figure, path)


def table_figure(
    path: epath.Path, sets: Mapping[str, np.ndarray], columns: Sequence[Column], title: str
) -> None:
    """Writes a PNG of rows of a table, one panel a column.

    "input" and "reconstruction" stand against each other, a single set as a histogram, several sets
    (walks through the latents) as one line each.

    Args:
      path: path of the PNG.
      sets: arrays by label, each `[n, columns]`.
      columns: what they are, from left to right.
      title: above the picture.
    """
    shown = columns[:COLUMNS]
    wide = min(pictures.ROW, len(shown))
    figure, axes = pictures.subplots(math.ceil(len(shown) / wide), wide, 1.6, 1.5)
    for i, (axis, column) in enumerate(zip(axes.flat, shown, strict=False)):
        of_column = {label: values[:, i] for label, values in sets.items()}
        if of_column.keys() >= AGAINST:
            axis.plot(of_column["input"], of_column["reconstruction"], ".", markersize=4)
            axis.axline((of_column["input"][0],) * 2, slope=1, color="0.7", linewidth=0.8)
        elif len(of_column) == 1:
            axis.hist(next(iter(of_column.values())), bins=20)
        else:
            axis.plot(np.stack(list(of_column.values()), axis=1), linewidth=0.8)
        axis.set_title(column.name, fontsize=7)
        axis.tick_params(labelsize=6)
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    against = ": reconstruction (up) against input" if sets.keys() >= AGAINST else ""
    figure.suptitle(title + against, fontsize=9)
    pictures.save(figure, path)
