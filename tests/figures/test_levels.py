"""Quality against noise level: the points of the lines are the table's numbers."""

import matplotlib.image
import pytest
from etils import epath

from ae_jax import figures
from ae_jax.errors import DataError
from ae_jax.figures import levels

TABLE = {
    f"{kind} {level:g}": {
        way: {"psnr": 30 - 10 * level + i, "ssim": 1 - level / 2 - 0.1 * i}
        for i, way in enumerate(("noisy", "run", "wavelet"))
    }
    for kind in ("gaussian", "salt_and_pepper")
    for level in (0.5, 0.1, 0.3)
}


def test_each_line_is_a_method_over_the_levels_in_order(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(levels, "save", lambda *given: kept.append(given) or figures.save(*given))
    path = epath.Path(tmp_path) / "x.png"
    figures.levels_figure(path, TABLE)
    assert matplotlib.image.imread(path).std() > 0.01
    axes = kept[0][0].axes
    labels = [(axis.get_xlabel(), axis.get_ylabel()) for axis in axes]
    assert labels == [
        (kind, metric)
        for kind in ("gaussian", "salt_and_pepper")
        for metric in ("PSNR, dB", "SSIM")
    ]
    for axis, metric in zip(axes, ("psnr", "ssim") * 2, strict=True):
        for line in axis.lines:
            kind, way = axis.get_xlabel(), line.get_label()
            want = [(x, TABLE[f"{kind} {x:g}"][way][metric]) for x in (0.1, 0.3, 0.5)]
            assert [tuple(point) for point in line.get_xydata()] == want
        assert len(axis.lines) == 3


def test_what_is_no_table_of_noises_is_refused(tmp_path):
    with pytest.raises(DataError, match="the table is empty"):
        figures.levels_figure(epath.Path(tmp_path) / "x.png", {})
    with pytest.raises(DataError, match="named 'kind level', got 'gaussian'"):
        figures.levels_figure(epath.Path(tmp_path) / "x.png", {"gaussian": {}})
