"""Figures: where each picture stands on a sheet, and that every kind of event gets one."""

import matplotlib.image
import numpy as np
import pytest
from etils import epath

from ae_jax import figures
from ae_jax.figures import panels
from ae_jax.types import Column


def test_pictures_stand_in_rows_with_a_white_margin():
    pictures = np.random.default_rng(1).random((5, 2, 3, 3)).astype(np.float32)
    sheet = figures.grid(pictures, columns=4)
    assert sheet.shape == (2 * 3 + 1, 4 * 4 + 1, 3)
    np.testing.assert_array_equal(sheet[1:3, 1:4], pictures[0])
    np.testing.assert_array_equal(sheet[1:3, 13:16], pictures[3])
    np.testing.assert_array_equal(sheet[4:6, 1:4], pictures[4])
    for row in (0, 3, 6):
        assert (sheet[row] == 1).all()
    for column in (0, 4, 8, 12, 16):
        assert (sheet[:, column] == 1).all()
    assert (sheet[4:6, 5:] == 1).all()  # no picture there


def test_pictures_run_from_black_to_white_and_grey_has_three_channels():
    x = np.array([[[0, 8], [16, 32]]], np.uint8)
    got = figures.to_pictures(x, 0, 16)
    assert got.shape == (1, 2, 2, 3)
    for channel in range(3):
        np.testing.assert_allclose(got[0, ..., channel], [[0, 0.5], [1, 1]])
    np.testing.assert_array_equal(figures.to_pictures(x[..., None], 0, 16), got)
    colour = np.random.default_rng(1).random((2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(figures.to_pictures(colour, -1, 1), (colour + 1) / 2, rtol=1e-6)


def test_a_range_without_width_is_no_division_by_zero():
    assert np.isfinite(figures.to_pictures(np.ones((1, 2, 2)), 1.0, 1.0)).all()


@pytest.mark.parametrize(
    ("n", "columns", "expected"),
    [
        (4, 2, [0, 1, 10, 11, 2, 3, 12, 13]),
        (5, 2, [0, 1, 10, 11, 2, 3, 12, 13]),  # a row that is not full is left out
        (3, 8, [0, 1, 2, 10, 11, 12]),
    ],
)
def test_sets_alternate_row_by_row(n, columns, expected):
    first = np.arange(n)[:, None]
    got = figures.interleave([first, first + 10], columns)
    np.testing.assert_array_equal(got[:, 0], expected)


@pytest.mark.parametrize(
    ("event", "image"),
    [((8, 8), True), ((8, 8, 1), True), ((8, 8, 3), True), ((8, 8, 2), False), ((8,), False)],
)
def test_what_counts_as_an_image(event, image):
    assert figures.is_image(event) is image


@pytest.mark.parametrize("event", [(8, 8), (5, 7, 3), (6,), (10, 2), (1,)])
@pytest.mark.parametrize("n", [1, 9])
def test_every_kind_of_event_gets_a_picture(tmp_path, event, n):
    values = np.random.default_rng(1).random((2, n, *event)).astype(np.float32)
    sets = {"input": values[0], "again": values[1]}
    path = epath.Path(tmp_path) / "figures" / "x.png"
    figures.examples_figure(path, sets, 0.0, 1.0, "title")
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[0] > 20
    assert pixels.std() > 0.01


@pytest.mark.parametrize("labels", [("input", "reconstruction"), ("sample",), ("0", "1", "2")])
@pytest.mark.parametrize("channels", [1, 6])
def test_series_and_tables_get_panels(tmp_path, labels, channels):
    rng = np.random.default_rng(1)
    path = epath.Path(tmp_path) / "x.png"
    panels.series_figure(path, {label: rng.random((9, 12, channels)) for label in labels}, "title")
    assert matplotlib.image.imread(path).std() > 0.01
    columns = [Column(f"column {i}", "number") for i in range(channels)]
    panels.table_figure(path, {label: rng.random((9, channels)) for label in labels}, columns, "t")
    assert matplotlib.image.imread(path).std() > 0.01


def test_the_use_of_the_latents_gets_a_picture(tmp_path):
    path = epath.Path(tmp_path) / "latents.png"
    figures.usage_figure(path, np.array([0.5, 0.0, 2.0]), np.array([True, False, True]))
    assert matplotlib.image.imread(path).std() > 0.01


def test_curves_need_a_loss_and_take_splits_with_different_metrics(tmp_path):
    path = epath.Path(tmp_path) / "curves.png"
    figures.curves_figure(path, [])
    assert not path.exists()
    points = [{"step": s, "split": "train", "loss": 1 / s, "kl": 0.1 * s} for s in (10, 20)]
    points += [{"step": 20, "split": "test", "loss": 0.5, "mse": 0.1}]
    figures.curves_figure(path, points)
    assert matplotlib.image.imread(path).std() > 0.01
