"""Quality against noise level, method by method."""

from collections.abc import Mapping

from etils import epath

from ae_jax.errors import DataError
from ae_jax.figures.pictures import save, subplots

NAMES = {"psnr": "PSNR, dB", "ssim": "SSIM"}


def levels_figure(
    path: epath.Path,
    table: Mapping[str, Mapping[str, Mapping[str, float]]],
    title: str = "denoising",
) -> None:
    """Writes a PNG of each metric against the level of noise, a line a method, a row a kind.

    Args:
      path: path of the PNG.
      table: what `ae_jax.evaluation.denoise` gives: metrics by noise, such as "gaussian 0.3", and
        then by method. The run is drawn thick, the noisy images dotted.
      title: above the picture.

    Raises:
      DataError: the table is empty, or a name is no kind and level.
    """
    kinds: dict[str, dict[float, Mapping[str, Mapping[str, float]]]] = {}
    for name, ways in table.items():
        kind, _, level = name.rpartition(" ")
        try:
            kinds.setdefault(kind, {})[float(level)] = ways
        except ValueError:
            raise DataError(f"noises must be named 'kind level', got {name!r}") from None
    if not kinds:
        raise DataError("there is no noise to draw: the table is empty")
    metrics = list(
        dict.fromkeys(m for ways in table.values() for row in ways.values() for m in row)
    )
    figure, axes = subplots(len(kinds), len(metrics), 4.0, 2.8)
    for row, (kind, levels) in zip(axes, kinds.items(), strict=True):
        for axis, metric in zip(row, metrics, strict=True):
            for way in dict.fromkeys(way for ways in levels.values() for way in ways):
                points = [(x, levels[x][way][metric]) for x in sorted(levels) if way in levels[x]]
                style = {"run": {"linewidth": 2.5}, "noisy": {"linestyle": ":", "color": "0.4"}}
                axis.plot(
                    *zip(*points, strict=True),
                    marker="o",
                    markersize=3,
                    label=way,
                    **style.get(way, {}),
                )
            axis.set(xlabel=kind, ylabel=NAMES.get(metric, metric))
            axis.grid(alpha=0.3)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    figure.suptitle(title, fontsize=9)
    save(figure, path)
