"""Pictures of a run: reconstructions beside inputs, samples, curves."""

import contextlib
import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

MARGIN = 1
ROW = 8
COLOURED = 4  # labels of text that have a colour each


def is_image(event_shape: Sequence[int]) -> bool:
    """Whether an event is a picture: `[h, w]`, or `[h, w, c]` with 1 or 3 channels."""
    return len(event_shape) == 2 or (len(event_shape) == 3 and event_shape[-1] in (1, 3))


def to_pictures(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Images `[n, h, w(, c)]` in the data's units as `[n, h, w, 3]` in [0, 1]."""
    x = x if x.ndim == 4 else x[..., None]
    x = np.clip((x.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1)
    return np.broadcast_to(x, (*x.shape[:3], 3)) if x.shape[-1] == 1 else x


def grid(pictures: np.ndarray, columns: int = ROW) -> np.ndarray:
    """Pictures `[n, h, w, 3]` laid out in rows, `[H, W, 3]`, white between them."""
    n, h, w, _ = pictures.shape
    rows = -(-n // columns)
    sheet = np.ones((rows * (h + MARGIN) + MARGIN, columns * (w + MARGIN) + MARGIN, 3), np.float32)
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (h + MARGIN), (i % columns) * (w + MARGIN)
        sheet[top + MARGIN : top + MARGIN + h, left + MARGIN : left + MARGIN + w] = picture
    return sheet


def interleave(rows: Sequence[np.ndarray], columns: int = ROW) -> np.ndarray:
    """Several sets of examples `[n, …]`, row of the first above row of the second, and so on."""
    n = len(rows[0]) // columns * columns or len(rows[0])
    width = min(columns, n)
    pieces = [row[i : i + width] for i in range(0, n, width) for row in rows]
    return np.concatenate(pieces)


def examples_figure(
    path: epath.Path, sets: Mapping[str, np.ndarray], low: float, high: float, title: str
) -> None:
    """Writes a PNG of examples: image grids, or line plots for events that are not images.

    Args:
      path: path of the PNG.
      sets: arrays by label, e.g. {"input": x, "reconstruction": y}, each `[n, *event]` in data
        units.
      low: shown black.
      high: shown white.
      title: above the picture.
    """
    labels, arrays = list(sets), list(sets.values())
    if is_image(arrays[0].shape[1:]):
        columns = min(ROW, len(arrays[0]))
        sheet = grid(to_pictures(interleave(arrays, columns), low, high), columns)
        if len(labels) > 1:
            title = f"{title}: rows alternate {', '.join(labels)}"
        _image_sheet(path, sheet, title)
    else:
        _line_sheet(path, sets, title)


COLOURS = {"train": "C0", "validation": "C2", "test": "C1"}


def curves_figure(path: epath.Path, points: Sequence[Mapping[str, Any]]) -> None:
    """Writes a PNG of every metric over steps, all splits in one panel each.

    Args:
      path: path of the PNG.
      points: as `ae_jax.read_metrics` gives them.
    """
    skip = {"step", "split", "skipped", "examples_per_second"}
    names = sorted(dict.fromkeys(name for point in points for name in point if name not in skip))
    if "loss" not in names:
        return
    columns = min(3, len(names))
    figure, axes = subplots(math.ceil(len(names) / columns), columns, 4.0, 2.8)
    for axis, name in zip(axes.flat, names, strict=False):
        for split, colour in COLOURS.items():
            curve = [(p["step"], p[name]) for p in points if p["split"] == split and name in p]
            if curve:
                marker = None if split == "train" else "o"
                axis.plot(
                    *zip(*curve, strict=True),
                    label=split,
                    color=colour,
                    marker=marker,
                    markersize=3,
                )
        axis.set_title(name)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    figure.legend(
        *axes.flat[names.index("loss")].get_legend_handles_labels(), loc="outside upper right"
    )
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    save(figure, path)


def text_figure(path: epath.Path, lines: Mapping[str, Sequence[str]], title: str) -> None:
    """Writes a PNG of lines of text, those of one example under each other.

    Args:
      path: path of the PNG.
      lines: lines by label, e.g. {"input": …, "reconstruction": …}, as many of each.
      title: above the picture.
    """
    groups = list(zip(*lines.values(), strict=True))
    longest = max(len(line) for group in groups for line in group)
    columns = max(longest + max(map(len, lines)) + 4, 1.2 * len(title))
    pitch, width = 0.18, max(4.0, 0.072 * columns)
    colours = (
        [f"C{i}" for i in range(len(lines))] if len(lines) <= COLOURED else ["0.2"] * len(lines)
    )
    rows = sum(len(group) + 0.6 for group in groups)
    figure, axes = subplots(1, 1, width, pitch * rows + 0.6)
    axis, row = axes[0, 0], 0.0
    for group in groups:
        for i, (label, line) in enumerate(zip(lines, group, strict=True)):
            text = f"{label:<{max(map(len, lines))}}  {line}"
            style = {"family": "monospace", "fontsize": 8, "color": colours[i], "va": "top"}
            axis.text(0, -row, text, parse_math=False, **style)
            row += 1
        row += 0.6
    axis.set(xlim=(0, 1), ylim=(-row, 0.5))
    axis.set_title(title, fontsize=9)
    axis.axis("off")
    save(figure, path)


def histogram_figure(
    path: epath.Path, values: np.ndarray, label: str, marks: Mapping[str, float]
) -> None:
    """Writes a PNG of how values are spread.

    Args:
      path: path of the PNG.
      values: `[n]`.
      label: label of their axis.
      marks: values to point out, by label.
    """
    figure, axes = subplots(1, 1, 5.0, 3.2)
    axis = axes[0, 0]
    axis.hist(values, bins=min(50, max(5, len(values) // 4)))
    for i, (name, mark) in enumerate(marks.items()):
        axis.axvline(mark, color=f"C{i + 1}", label=name)
    axis.set(xlabel=label, ylabel="units")
    if marks:
        axis.legend()
    save(figure, path)


def usage_figure(path: epath.Path, kl: np.ndarray, active: np.ndarray) -> None:
    """Writes a PNG of the KL of each latent dimension, largest first.

    Args:
      path: path of the PNG.
      kl: `[d]`, nats.
      active: bool `[d]`, drawn in another colour than the others.
    """
    figure, axes = subplots(1, 1, 5.0, 3.2)
    axis, order = axes[0, 0], np.argsort(-kl, kind="stable")
    for label, chosen, colour in (("active", active, "C0"), ("not active", ~active, "C3")):
        places = np.flatnonzero(chosen[order])
        axis.bar(places, kl[order][places], color=colour, label=f"{len(places)} {label}")
    axis.set(xlabel="latent dimension, by KL", ylabel="KL, nats", xlim=(-1, len(kl)))
    axis.set_title(f"{kl.sum():.1f} nats in all", fontsize=9)
    figure.legend(fontsize=8, loc="outside right upper")
    save(figure, path)


def _image_sheet(path: epath.Path, sheet: np.ndarray, title: str) -> None:
    width = 6.0
    figure, axes = subplots(1, 1, width, width * sheet.shape[0] / sheet.shape[1] + 0.4)
    axes[0, 0].imshow(sheet, interpolation="nearest", vmin=0, vmax=1)
    axes[0, 0].set_title(title, fontsize=9)
    axes[0, 0].axis("off")
    save(figure, path)


def _line_sheet(path: epath.Path, sets: Mapping[str, np.ndarray], title: str) -> None:
    """One panel an example; the first channel of a series `[t, c]`, any other event flattened."""
    count = min(ROW, len(next(iter(sets.values()))))
    figure, axes = subplots(math.ceil(count / 4), min(4, count), 3.0, 2.0)
    for i, axis in enumerate(list(axes.flat)[:count]):
        for label, values in sets.items():
            line = values[i][:, 0] if values[i].ndim == 2 else values[i].reshape(-1)
            axis.plot(line, label=label, linewidth=1)
    axes.flat[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=9)
    save(figure, path)


def figure_class() -> Any:
    """Matplotlib's Figure, without pyplot: no global state, no display, no backend.

    `MPLBACKEND` names one for programs that show figures; it need not be installed here.
    """
    if "matplotlib" not in sys.modules:
        backend = os.environ.pop("MPLBACKEND", None)
        try:
            import matplotlib
        finally:
            if backend is not None:
                os.environ["MPLBACKEND"] = backend
        if backend is not None:
            with contextlib.suppress(ValueError):
                matplotlib.rcParams["backend"] = backend
    from matplotlib.figure import Figure

    return Figure


def subplots(
    rows: int, columns: int, width: float, height: float, **shared: Any
) -> tuple[Any, Any]:
    """A Matplotlib figure of panels, each so wide and high in inches, and its `[rows, columns]`."""
    figure = figure_class()(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def save(figure: Any, path: epath.Path) -> None:
    """Writes a Matplotlib figure as PNG, its folder made where there is none."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
