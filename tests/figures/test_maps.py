"""Maps of codes: a colour a class, grey without."""

import matplotlib.image
import numpy as np
from etils import epath

from ae_jax import figures

POINTS = np.random.default_rng(0).normal(size=(300, 2))


def colours(path, labels):
    """How many saturated colours a map shows, in coarse steps."""
    figures.map_figure(epath.Path(path), POINTS, labels, ("first", "second"))
    picture = matplotlib.image.imread(path)[..., :3].reshape(-1, 3)
    vivid = picture[np.ptp(picture, axis=1) > 0.3]
    found, counts = np.unique(np.rint(vivid * 8), axis=0, return_counts=True)
    return len(found[counts > 40])


def test_each_class_has_a_colour(tmp_path):
    classes = 10
    labels = np.arange(300) % classes
    shown = colours(tmp_path / "map.png", labels)
    assert shown >= classes - (classes > 7)  # C7 is grey
    assert colours(tmp_path / "one.png", np.where(labels, -1, 0)) < shown


def test_points_without_labels_have_one_and_many_classes_a_scale(tmp_path):
    assert 1 <= colours(tmp_path / "plain.png", None) < 4
    assert colours(tmp_path / "grey.png", np.full(300, -1)) < 4
    assert colours(tmp_path / "many.png", np.arange(300) % 50) > 8
