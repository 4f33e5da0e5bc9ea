"""Figures of runs: examples, samples, curves, series, tables, text; PNG files.

Pictures and curves are in `ae_jax.figures.pictures`, panels of series and tables in
`ae_jax.figures.panels`, maps of codes in `ae_jax.figures.maps`, members of a population in
`ae_jax.figures.populations` and `ae_jax.figures.coordinates`, quality against noise in
`ae_jax.figures.levels`.
"""

from ae_jax.figures.coordinates import parallel_coordinates_figure
from ae_jax.figures.levels import levels_figure
from ae_jax.figures.maps import map_figure
from ae_jax.figures.panels import series_figure, table_figure
from ae_jax.figures.pictures import (
    curves_figure,
    examples_figure,
    figure_class,
    grid,
    histogram_figure,
    interleave,
    is_image,
    save,
    subplots,
    text_figure,
    to_pictures,
    usage_figure,
)
from ae_jax.figures.populations import bands_figure, rate_distortion_figure

__all__ = [
    "bands_figure",
    "curves_figure",
    "examples_figure",
    "figure_class",
    "grid",
    "histogram_figure",
    "interleave",
    "is_image",
    "levels_figure",
    "map_figure",
    "parallel_coordinates_figure",
    "rate_distortion_figure",
    "save",
    "series_figure",
    "subplots",
    "table_figure",
    "text_figure",
    "to_pictures",
    "usage_figure",
]
