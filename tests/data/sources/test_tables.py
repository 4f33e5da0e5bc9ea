"""The embedded tables against scikit-learn's own loaders, which the source does without."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.data.sources.tables import TABLES
from ae_jax.errors import MissingFileError, UnknownNameError


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_is_scikit_learns(name):
    import sklearn.datasets

    expected = getattr(sklearn.datasets, f"load_{name}")()
    dataset = ae.data.load(f"tables:{name}", test_fraction=0.2)
    assert (dataset.kind, dataset.source) == ("table", f"tables:{name}")
    test = ae.data.split_mask(len(expected.data), 0.2)
    *numbers, category = dataset.columns
    assert {column.kind for column in numbers} == {"number"}
    words = np.array(category.categories)
    for part, mask in ((dataset.train, ~test), (dataset.test, test)):
        x = in_memory(part).x
        np.testing.assert_array_equal(x[:, :-1], expected.data[mask].astype(np.float32))
        own = words[x[:, -1].astype(int)]
        np.testing.assert_array_equal(own, expected.target_names[expected.target[mask]])
    # Names in scikit-learn's order, though not always in its spelling.
    spelt = lambda text: set(text.replace("_", " ").replace("(cm)", "").split()) - {"error", "of"}
    for column, theirs in zip(numbers, expected.feature_names, strict=True):
        assert spelt(column.name) == spelt(theirs)


def test_the_category_may_be_the_label():
    dataset = ae.data.load("tables:wine", label="cultivar", columns=["hue", "ash"])
    assert [column.name for column in dataset.columns] == ["ash", "hue"]
    assert set(np.unique(in_memory(dataset.train).extras["label"])) == {0, 1, 2}


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="did you mean 'wine'"):
        ae.data.load("tables:wines")
    with pytest.raises(UnknownNameError, match="did you mean 'species'"):
        ae.data.load("tables:iris", label="specie")


def test_without_scikit_learn_the_error_names_the_fix(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingFileError, match="pip install scikit-learn"):
        ae.data.tables("wine")
