"""Data sets: the fixed split, the sources, and the checks before anything is compiled."""

import re

import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax._registry import SOURCES
from ae_jax.config.sections import Data
from ae_jax.data import order
from ae_jax.data.dataset import check, of_section, split
from tests import small

X = np.arange(60, dtype=np.float32).reshape(20, 3)


def two_moons(test_fraction: float = 0.5, size: int = 20):
    """A user's own source."""
    train, test = split(np.ones((size, 2)), fraction=test_fraction)
    return ae.data.Dataset(train, test)


def no_dataset():
    return np.ones((3, 2))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.5])
def test_the_split_holds_out_about_the_fraction(fraction):
    held_out = ae.data.split_mask(20_000, fraction).sum()
    low, high = stats.binom(20_000, fraction).interval(1 - 1e-6)
    assert low <= held_out <= high


def test_the_split_is_that_of_the_hash_and_does_not_move_when_data_are_appended():
    few, many = ae.data.split_mask(50, 0.2), ae.data.split_mask(5_000, 0.2)
    np.testing.assert_array_equal(many[:50], few)
    hashes = order.hash_index(np.arange(50, dtype=np.uint32))
    np.testing.assert_array_equal(few, hashes / 2**32 < 0.2)


def test_a_larger_fraction_only_adds_to_the_test_split():
    small, large = ae.data.split_mask(1000, 0.1), ae.data.split_mask(1000, 0.3)
    assert (large | ~small).all()
    assert large.sum() > small.sum()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2, True, "0.1", float("nan")])
def test_a_fraction_outside_the_unit_interval_is_refused(fraction):
    match = re.escape(f"test_fraction must lie in [0, 1), got {fraction!r}")
    with pytest.raises(ae.errors.ConfigError, match=match):
        ae.data.split_mask(10, fraction)


def test_an_array_is_split_and_every_example_is_in_one_part_with_its_extras():
    label = np.arange(20)
    train, test = split(X, {"label": label}, 0.3)
    assert 0 < len(test.x) < 20
    assert not set(train.extras["label"]) & set(test.extras["label"])
    together = np.concatenate([train.x, test.x])
    order = np.concatenate([train.extras["label"], test.extras["label"]])
    np.testing.assert_array_equal(together, X[order])


def test_as_dataset_takes_arrays_data_sets_and_names():
    dataset = ae.data.as_dataset(X)
    np.testing.assert_array_equal(dataset.test.x, X[ae.data.split_mask(20, 0.1)])
    assert dataset.source is None
    held_out = ae.data.as_dataset(X, test_fraction=0.5).test.x
    np.testing.assert_array_equal(held_out, X[ae.data.split_mask(20, 0.5)])
    given = ae.data.as_dataset(X[:15].tolist(), X[15:])
    np.testing.assert_array_equal(given.train.x, X[:15])
    np.testing.assert_array_equal(given.test.x, X[15:])
    assert ae.data.as_dataset(given) is given
    assert ae.data.as_dataset("digits").source == "digits"


def test_no_test_split_is_allowed():
    assert len(ae.data.as_dataset(X, test_fraction=0).test.x) == 0


def test_a_source_of_the_users_own():
    source = f"{__name__}:two_moons"
    dataset = ae.data.load(source)
    assert dataset.source == source
    assert len(dataset.test.x) == ae.data.split_mask(20, 0.5).sum()
    assert len(ae.data.load(source, test_fraction=0.0).train.x) == 20


def test_a_source_must_return_a_data_set():
    with pytest.raises(ae.errors.PartError, match="expected a data source, got ndarray"):
        ae.data.load(f"{__name__}:no_dataset")
    with pytest.raises(ae.errors.ConfigError, match="no argument 'test_fraction'"):
        ae.data.load(f"{__name__}:no_dataset", test_fraction=0.1)


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("digit", r"no data source is called 'digit'; did you mean 'digits'\?"),
        ("digts:x", r"no data source is called 'digts'; did you mean 'digits'\?.*cannot import"),
        (f"{__name__}:nothing", "cannot import '.*test_dataset:nothing'.*'nothing'"),
        ("", "no data source is called ''"),
    ],
)
def test_an_unknown_source_gets_the_nearest(source, match):
    with pytest.raises(ae.errors.UnknownNameError, match=match):
        ae.data.load(source)


def test_a_path_goes_to_its_kind(monkeypatch):
    got = []
    monkeypatch.setitem(
        SOURCES.factories, "seen", lambda *a, **k: got.append((a, k)) or two_moons()
    )
    assert ae.data.load("seen:some/where:2", test_fraction=0.25).source == "seen:some/where:2"
    assert got == [(("some/where:2",), {"test_fraction": 0.25})]


NAN, INF = X.copy(), X.copy()
NAN[4, 2], NAN[7, 0], INF[0, 1] = np.nan, np.nan, -np.inf


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (NAN, r"training data hold 2 value\(s\) that are not finite, the first nan at \(4, 2\)"),
        (INF, r"hold 1 value\(s\) that are not finite, the first -inf at \(0, 1\)"),
        (np.zeros((0, 3)), r"training data are empty: shape \(0, 3\)"),
        (np.zeros((4, 0)), r"training data are empty: shape \(4, 0\)"),
        (np.zeros(5), r"got shape \(5,\); one example is x\[None\], scalars are x\[:, None\]"),
        (np.array([["a"]]), "must be real numbers, got dtype <U1"),
        (np.ones((4, 2), complex), "must be real numbers, got dtype complex128"),
        ([[1.0], [1.0, 2.0]], "must be an array .* inhomogeneous"),
        (None, r"must be an array \[n, \*event\] of numbers, got None"),
        (3.0, "of numbers, got 3.0"),
    ],
)
def test_data_that_cannot_be_learned_from_are_refused(data, match):
    with pytest.raises(ae.errors.DataError, match=match):
        ae.data.as_dataset(data, test_fraction=0.0)


def test_a_wrong_test_split_is_told_apart_from_a_wrong_training_split():
    with pytest.raises(ae.errors.DataError, match="the test data hold 2 value"):
        ae.data.as_dataset(X, NAN)
    match = r"training examples have shape \(3,\), test examples \(2,\)"
    with pytest.raises(ae.errors.DataError, match=match):
        ae.data.as_dataset(X, X[:, :2])


def test_extras_must_be_as_many_as_the_examples():
    train = ae.data.Arrays(X, {"label": np.arange(19)})
    match = "training split has 20 examples but 19 of 'label'"
    with pytest.raises(ae.errors.DataError, match=match):
        check(ae.data.Dataset(train, ae.data.Arrays(X)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_, np.float16, np.float64])
def test_every_kind_of_number_is_accepted(dtype):
    data = ae.data.from_arrays(np.ones((20, 3), dtype))
    assert data.train.x.dtype == dtype
    assert len(data.train) + len(data.test) == 20


def test_a_data_set_loaded_with_arguments_is_loaded_again_with_them():
    data = ae.data.load("digits", test_fraction=0.5, validation_fraction=0.1)
    run = ae.fit(small.vae(), data, steps=2, progress=False)
    section = run.config.data
    assert (section.test_fraction, section.validation_fraction) == (0.5, 0.1)
    again = run.dataset()
    np.testing.assert_array_equal(again.test.x, data.test.x)
    waves = ae.data.load("waves", length=16, size=40, test_size=3)
    assert waves.options["arguments"] == {"length": 16, "size": 40, "test_size": 3}


def test_a_validation_split_of_overlapping_examples_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(200.0)[:, None])
    source = f"series:{tmp_path / 'x.npy'}"
    with pytest.raises(ae.errors.ConfigError, match="overlap.*stride as long as the window"):
        ae.data.load(source, window=10, validation_fraction=0.2)
    data = ae.data.load(source, window=10, stride=10, validation_fraction=0.2)
    assert len(data.train) + len(data.validation) == 18


def test_a_validation_split_is_carved_out_of_training_for_good():
    small_set, whole = ae.data.load("digits", validation_fraction=0.1), ae.data.load("digits").train
    held = ae.data.split_mask(1433, 0.1, "validation")
    np.testing.assert_array_equal(small_set.validation.x, whole.x[held])
    np.testing.assert_array_equal(small_set.train.x, whole.x[~held])
    assert (held != ae.data.split_mask(1433, 0.1)).any()


@pytest.mark.parametrize(("own", "size"), [({}, 4), ({"test_fraction": 0.5}, 10)])
def test_the_source_s_own_fraction_goes_before_the_section_s(own, size):
    dataset = of_section(Data(source=f"{__name__}:halves", arguments=own, test_fraction=0.2))
    assert len(dataset.test) == size


def halves(test_fraction=None):
    """A user's own source of 20 examples, the last of them held out."""
    num = round(20 * test_fraction)
    return ae.data.from_arrays(X[num:], test=X[:num])
