"""Figures of populations: what is drawn is what NumPy finds in the members' numbers."""

import matplotlib.image
import numpy as np
import pytest
from etils import epath

from ae_jax import figures
from ae_jax.errors import DataError, ShapeError
from ae_jax.figures import coordinates, populations


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """`draw(figure_function, *args)` gives the figure's first axes; a PNG was written, too."""

    def draw(function, *args, **options):
        kept = []
        save = lambda figure, path: kept.append(figure) or figures.save(figure, path)
        for module in (populations, coordinates):
            monkeypatch.setattr(module, "save", save)
        path = epath.Path(tmp_path) / "folder" / "x.png"
        function(path, *args, **options)
        assert matplotlib.image.imread(path).std() > 0.01
        return kept[0].axes

    return draw


BETA = np.repeat([0.25, 1.0, 4.0, 64.0], 3)
RATE = 20 / (1 + BETA) + np.tile([0.0, 0.5, 1.0], 4)
DISTORTION = 10 + 5 * np.log1p(BETA) + np.tile([0.0, 1.0, 5.0], 4)


def test_a_rate_distortion_curve_joins_medians_and_its_band_quartiles(drawn):
    order = np.random.default_rng(0).permutation(len(BETA))
    axis = drawn(figures.rate_distortion_figure, BETA[order], RATE[order], DISTORTION[order])[0]
    line = axis.lines[0].get_xydata()
    np.testing.assert_allclose(line[:, 0], np.median(RATE.reshape(4, 3), axis=1))
    np.testing.assert_allclose(line[:, 1], np.median(DISTORTION.reshape(4, 3), axis=1))
    band, points = axis.collections
    edge = band.get_paths()[0].vertices
    for quantile in (0.25, 0.75):
        for value in np.quantile(DISTORTION.reshape(4, 3), quantile, axis=1):
            assert np.isclose(edge[:, 1], value).any()
    np.testing.assert_array_equal(points.get_array(), BETA[order])
    assert len(points.get_offsets()) == 12


def test_diverged_members_are_left_out_and_counted(drawn):
    rate = RATE.copy()
    rate[[1, 5]] = np.nan, np.inf
    axis = drawn(figures.rate_distortion_figure, BETA, rate, DISTORTION)[0]
    assert len(axis.collections[1].get_offsets()) == 10
    assert axis.get_title().endswith("(2 diverged)")


def points(members=6, steps=(10, 20, 30)):
    rng = np.random.default_rng(0)
    return [
        {"step": s, "split": split, "member": m, "loss": float(rng.normal()), "kl": 1.0 * m}
        for s in steps
        for m in range(members)
        for split in ("train", "test")
    ]


def test_bands_are_numpys_quartiles_of_each_group():
    rows, groups = points(), [1e-2, 1e-3, 1e-2, 1e-3, 1e-2, 1e-3]
    found = populations.bands(rows, "loss", groups)
    assert list(found) == [1e-3, 1e-2]
    for group, band in found.items():
        assert band.diverged == 0
        for i, step in enumerate((10, 20, 30)):
            own = [
                row["loss"]
                for row in rows
                if row["split"] == "test" and row["step"] == step and groups[row["member"]] == group
            ]
            expected = np.quantile(own, [0.25, 0.5, 0.75])
            np.testing.assert_allclose((band.low[i], band.middle[i], band.high[i]), expected)


def test_learning_curves_have_a_line_a_group_and_count_who_diverged(drawn):
    rows = points()
    for row in rows:
        if row["member"] == 3 and row["step"] > 10:
            row["loss"] = None if row["step"] == 20 else float("inf")
    axes = drawn(figures.bands_figure, rows, groups=[0, 1, 0, 1, 0, 1], label="seed")
    assert [axis.get_title() for axis in axes] == ["kl, test", "loss, test"]
    labels = [line.get_label() for line in axes[1].lines]
    assert labels == ["seed 0", "seed 1 (1 diverged)"]
    left = [r["loss"] for r in rows if r["split"] == "test" and r["step"] == 30]
    np.testing.assert_allclose(axes[1].lines[1].get_ydata()[2], np.mean([left[1], left[5]]))
    axes = drawn(figures.bands_figure, rows, ["kl"], split="train")
    np.testing.assert_allclose(axes[0].lines[0].get_xydata(), [[10, 2.5], [20, 2.5], [30, 2.5]])


def test_curves_have_marks_where_members_were_stopped_or_went_on_from_others(drawn):
    rows = points()
    rows = [row for row in rows if row["member"] != 5 or row["step"] <= 20]
    events = [
        {"step": 20, "member": 5, "rung": 0},
        {"step": 25, "member": 1, "source": 0, "rate": 0.1},
        {"step": 5, "member": 2, "source": 0, "rate": 0.1},  # before any point of it
    ]
    axis = drawn(figures.bands_figure, rows, ["loss"], events=events)[0]
    value = {(r["member"], r["step"]): r["loss"] for r in rows if r["split"] == "test"}
    marks = [c for c in axis.collections if c.get_label().startswith(("stopped", "from"))]
    assert [mark.get_label() for mark in marks] == ["stopped (1)", "from another (1)"]
    np.testing.assert_allclose(marks[0].get_offsets(), [[20, value[5, 20]]])
    np.testing.assert_allclose(marks[1].get_offsets(), [[25, value[1, 20]]])


def test_many_groups_name_some_in_the_legend(drawn):
    axes = drawn(figures.bands_figure, points(40), ["kl"], groups=list(range(40)))
    named = [line for line in axes[0].lines if not line.get_label().startswith("_")]
    assert len(axes[0].lines) == 40
    assert 1 < len(named) <= populations.NAMED


def test_parallel_coordinates_have_a_line_a_member_the_best_on_top(drawn):
    rates, names = [1e-4, 1e-3, 1e-2, 1e-3], ["adam", "sgd", "adam", "sgd"]
    metric = np.array([0.5, 0.1, np.nan, 0.3])
    columns = {"rate": rates, "optimizer": names, "size": [4, 4, 4, 4]}
    axis = drawn(figures.parallel_coordinates_figure, columns, metric)[0]
    lines = [line.get_ydata() for line in axis.lines if len(line.get_ydata()) == 4]
    assert len(lines) == 4
    np.testing.assert_allclose(lines[0][:3], [1, 0, 0.5])  # diverged: below all, no end
    assert np.isnan(lines[0][3])
    np.testing.assert_allclose(lines[1:], [[0, 0, 0.5, 1], [0.5, 1, 0.5, 0.5], [0.5, 1, 0.5, 0]])
    texts = [text.get_text() for text in axis.texts]
    assert texts == ["0.0001", "0.001", "0.01", "adam", "sgd", "4", "0.1", "0.3", "0.5"]
    assert axis.get_title().endswith("(1 diverged)")


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [(np.geomspace(1e-4, 1, 9), True), (np.linspace(1, 9, 9), False), (np.arange(-4, 5), False)],
)
def test_an_axis_is_logarithmic_from_a_decade_on(values, logarithmic):
    places, marks = coordinates.scaled(values)
    np.testing.assert_allclose(places, np.linspace(0, 1, 9), atol=1e-12)
    middle = np.sqrt(values[0] * values[-1]) if logarithmic else np.mean(values)
    np.testing.assert_allclose([float(text) for _, text in marks], [values[0], middle, values[-1]])


def test_what_cannot_be_drawn_is_said(tmp_path):
    path = epath.Path(tmp_path) / "x.png"
    with pytest.raises(ShapeError, match=r"must be \[m\] alike, got beta \(3,\), rate \(2,\)"):
        figures.rate_distortion_figure(path, [1, 2, 3], [1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="none of the 1 members is finite"):
        figures.rate_distortion_figure(path, [1], [np.nan], [1])
    with pytest.raises(DataError, match=r"has 'lss'; did you mean 'loss'\? Known: kl, loss"):
        figures.bands_figure(path, points(), ["lss"])
    with pytest.raises(DataError, match="no point of the split 'tst'; did you mean 'test'"):
        figures.bands_figure(path, points(), split="tst")
    with pytest.raises(ShapeError, match="got 2 and the member 5"):
        figures.bands_figure(path, points(), groups=[0, 1])
    with pytest.raises(DataError, match="columns is empty"):
        figures.parallel_coordinates_figure(path, {}, [1.0])
    with pytest.raises(DataError, match="none of the 2 values of loss is finite"):
        figures.parallel_coordinates_figure(path, {"a": [1, 2]}, [np.nan, np.inf])
    with pytest.raises(ShapeError, match=r"columns\['a'\] and the metric must be \[m\]"):
        figures.parallel_coordinates_figure(path, {"a": [1, 2]}, [1.0])
    assert not path.exists()
