"""What may be given as data: read exactly, or refused in one line."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

import ae_jax as ae
from ae_jax.data import given
from ae_jax.errors import DataError

X = np.arange(12.0).reshape(4, 3)
MASK = np.zeros((4, 3), bool)
MASK[1, 2] = MASK[3, 0] = True
MASKED = np.ma.array(np.where(MASK, np.nan, X), mask=MASK)
ZEROED = np.where(MASK, 0.0, X)


class Tensor:
    """What NumPy reads by `__array__`, as it reads PyTorch's tensors."""

    def __init__(self, x, error=None):
        self.x, self.error = x, error

    def __array__(self, dtype=None, copy=None):
        if self.error is not None:
            raise self.error
        return np.asarray(self.x, dtype)


SAME = {
    "lists": X.tolist(),
    "list of arrays": list(X),
    "tuple of tuples": tuple(map(tuple, X.tolist())),
    "jax": jnp.asarray(X),
    "tensor": Tensor(X),
    "matrix": np.asmatrix(X),
    "objects": X.astype(object),
    "bfloat16": jnp.asarray(X, jnp.bfloat16),
    "masked nowhere": np.ma.array(X),
}


@pytest.mark.parametrize("name", SAME)
def test_numbers_are_read_whatever_holds_them(name):
    found = given.take(SAME[name])
    np.testing.assert_array_equal(found.x, X)
    assert type(found.x) is np.ndarray
    assert found.observed is None
    assert found.columns is None


MASKS = {
    "masked array": MASKED,
    "list of masked rows": list(MASKED),
    "integers": np.ma.array(X.astype(int), mask=MASK),
    "objects": np.ma.array(X.astype(object), mask=MASK),
    "masked entries": [
        [np.ma.masked if m else v for v, m in zip(*r, strict=True)]
        for r in zip(X, MASK, strict=True)
    ],
    "nested lists": [
        [np.ma.array(v, mask=m) for v, m in zip(*r, strict=True)] for r in zip(X, MASK, strict=True)
    ],
}


@pytest.mark.parametrize("name", MASKS)
def test_what_is_masked_is_missing_and_never_read(name):
    found = given.take(MASKS[name])
    np.testing.assert_array_equal(found.observed, ~MASK)
    np.testing.assert_array_equal(found.x, ZEROED)
    assert not isinstance(found.x, np.ma.MaskedArray)


@pytest.mark.parametrize("dtype", [bool, int, np.uint8, float])
def test_a_mask_and_observed_are_combined(dtype):
    seen = ~MASK
    seen[0, 0] = False
    found = given.take(MASKED, seen.astype(dtype))
    np.testing.assert_array_equal(found.observed, seen)
    np.testing.assert_array_equal(found.x, np.where(seen, X, 0))


def test_observed_that_was_computed_from_masked_numbers_agrees_with_them():
    found = given.take(MASKED, ~np.isnan(MASKED))
    np.testing.assert_array_equal(found.observed, ~MASK)


WRONG_MASKS = [
    (MASKED, np.ones((4, 3), bool), r"observed is True at \(1, 2\), where the data are masked"),
    (X, np.ones((4, 2), bool), r"observed has shape \(4, 2\), the data \(4, 3\)"),
    (X, np.full((4, 3), 0.5), r"booleans, or 0 and 1, got .*0.5.* at \(0, 0\)"),
    (X, np.where(MASK, np.nan, 1.0), r"got .*nan.* at \(1, 2\)"),
    (X, np.full((4, 3), "yes"), "booleans, or 0 and 1, got .*yes"),
]


@pytest.mark.parametrize(("x", "observed", "message"), WRONG_MASKS)
def test_a_mask_that_is_none_or_contradicts_is_refused(x, observed, message):
    with pytest.raises(DataError, match=message):
        ae.data.from_arrays(x, observed=observed)


REFUSED = {
    "csr": (sparse.csr_matrix(X), r"sparse csr_matrix of shape \(4, 3\) and dtype float64: pass x"),
    "coo": (sparse.coo_array(X), "sparse coo_array .*toarray"),
    "dict": ({"x": X, "y": X}, "got a dict of 'x', 'y': pass one of its arrays"),
    "generator": ((row for row in X), r"a generator, which can be gone through once: np.stack"),
    "iterator": (iter(X), "which can be gone through once"),
    "set": ({1.0, 2.0}, r"got \{1.0, 2.0\}"),
    "words": ([["a", "b"]], "must be real numbers, got dtype <U1, e.g. 'a'"),
    "bytes": (b"abc", "got b'abc'"),
    "scalar": (np.float32(3), "of numbers, got .*3.0"),
    "none": (None, "got None"),
    "no rows": (np.zeros((0, 3)), "empty"),
    "no columns": (np.zeros((4, 0)), "empty"),
    "ragged": ([[1.0], [1.0, 2.0]], "inhomogeneous"),
    "ragged masked": ([np.ma.array([1.0]), np.ma.array([1.0, 2.0])], "must be an array"),
    "gradient": (Tensor(X, RuntimeError("it requires grad.\nUse detach()")), "it requires grad"),
    "complex": (X + 1j, "must be real numbers, got dtype complex128"),
    "structured": (np.zeros(3, [("a", float)]), "must be real numbers, got dtype"),
    "times": (np.array([["2020-01-01"]], "M8[D]"), "got times of dtype"),
    "nothing observed": (np.ma.array(X, mask=True), "nothing of the training split is observed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(name):
    data, message = REFUSED[name]
    with pytest.raises(DataError, match=message) as caught:
        ae.data.as_dataset(data, test_fraction=0.0)
    assert "\n" not in str(caught.value)


EXTRAS = {
    "words": (["cat", "dog", "cat", "cow"], "holds words such as 'cat'; number the classes, e.g."),
    "objects": (np.array(["cat", "dog", None, 1], object), "holds words such as 'cat'"),
    "bytes": (np.array([b"a"] * 4), "holds words such as"),
    "nothing": ([1, 2, None, 4], r"extras\['y'\]: .* objects such as None at \(2\)"),
    "masked": (np.ma.array([1, 2, 3, 4], mask=[0, 0, 1, 0]), r"masked at \(2,\): fill it;.*-1"),
    "complex": (np.ones(4) * 1j, r"extras\['y'\] must be real numbers, got dtype complex128"),
    "times": (np.array(["2020-01-01"] * 4, "M8[D]"), r"extras\['y'\]: data must be numbers"),
    "ragged": ([[1], [1, 2], [1], [1]], r"extras\['y'\] must be an array: .*inhomogeneous"),
    "one number": (3, "has 4 examples but a single number of 'y'"),
    "too few": ([1, 2, 3], "training split has 4 examples but 3 of 'y'"),
}


@pytest.mark.parametrize("name", EXTRAS)
def test_extras_that_are_no_numbers_are_refused_by_name(name):
    value, message = EXTRAS[name]
    with pytest.raises(DataError, match=message) as caught:
        ae.data.from_arrays(X, extras={"y": value})
    assert "\n" not in str(caught.value)


def test_extras_are_a_mapping():
    with pytest.raises(DataError, match="extras must be a mapping from names to arrays, .* list"):
        ae.data.from_arrays(X, extras=[1, 2, 3, 4])  # pyright: ignore


FIELDS = [
    ({"observed": np.ones((4, 2), bool)}, "`observed` of the training split must be bool (4, 3)"),
    ({"observed": np.ones((4, 3))}, "must be bool (4, 3), got float64 (4, 3)"),
    ({"valid": np.ones(3, bool)}, "`valid` of the training split must be bool (4,), got bool (3,)"),
    ({"valid": np.ones(4, int)}, "must be bool (4,), got int64 (4,)"),
    ({"valid": np.zeros(4, bool)}, "nothing of the training split is valid"),
    ({"extras": {"y": np.ones(3)}}, "has 4 examples but 3 of 'y'"),
    ({"extras": {"y": np.array(["a"] * 4)}}, "extras['y'] must be real numbers, got dtype <U1"),
]


@pytest.mark.parametrize(("fields", "message"), FIELDS)
@pytest.mark.parametrize("split", ["training", "test"])
def test_the_fields_of_a_users_own_arrays_must_belong_together(fields, message, split):
    good, bad = ae.data.Arrays(X), ae.data.Arrays(X, **fields)
    pair = (bad, good) if split == "training" else (good, bad)
    with pytest.raises(DataError, match=re.escape(message.replace("training", split))):
        ae.data.as_dataset(ae.data.Dataset(*pair))


def test_arrays_of_a_users_own_take_no_masked_array():
    with pytest.raises(DataError, match=r"takes no masked array: ae.data.from_arrays\(x\) does"):
        ae.data.Arrays(MASKED)


TESTS = {
    "array": X + 100,
    "list": (X + 100).tolist(),
    "masked nowhere": np.ma.array(X + 100),
    "pair": (X + 100, {"label": np.arange(4)}),
    "records": ae.data.Records(X + 100, {"label": np.arange(4)}),
    "source": ae.data.Arrays(X + 100, {"label": np.arange(4)}),
    "part of a source": ae.data.Subset(
        ae.data.Arrays(np.repeat(X + 100, 2, 0)), np.arange(0, 8, 2)
    ),
    "data set": ae.data.from_arrays(X + 100, test_fraction=0.0),
}
DATA = {
    "array": X,
    "pair": (X, {"label": np.arange(4)}),
    "records": ae.data.Records(X),
    "source": ae.data.Arrays(X),
    "data set": ae.data.from_arrays(X, test_fraction=0.5),
    "its own test": ae.data.from_arrays(X, test=X),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("test", TESTS)
def test_a_test_split_replaces_that_of_whatever_is_given(data, test):
    dataset = ae.data.as_dataset(DATA[data], TESTS[test])
    found = dataset.test.read(np.arange(len(dataset.test)))
    np.testing.assert_array_equal(found.x, X + 100)
    if test in ("pair", "records", "source"):
        np.testing.assert_array_equal(found.extras["label"], np.arange(4))
    assert dataset.source is None
    if data in ("array", "pair", "records", "source"):
        assert len(dataset.train) == 4


def test_a_test_split_replaces_that_of_a_named_source_which_cannot_be_loaded_again():
    own = ae.data.load("digits")
    dataset = ae.data.as_dataset("digits", own.test.x[:5])
    assert len(dataset.test) == 5
    assert dataset.source is None
    assert len(dataset.train) == len(own.train)


def test_the_masks_of_test_data_are_kept():
    dataset = ae.data.from_arrays(X, test=MASKED)
    np.testing.assert_array_equal(dataset.test.read(np.arange(4)).observed, ~MASK)


WRONG_TESTS = [
    (X[:, :2], r"training examples have shape \(3,\), test examples \(2,\)"),
    (ae.data.from_arrays(X, test=X), "a Dataset with the splits train, test: give one"),
    ((X, {"label": np.arange(4.0)}), r"extras\['label'\] is int64 \(\) .* float64 \(\) in test"),
    ((X, {"label": np.ones((4, 2), int)}), r"int64 \(\) an example in training, .*int64 \(2,\)"),
    ((X, {"label": [1, 2]}), "the test split has 4 examples but 2 of 'label'"),
    ("digits", "test data must be an array .* got 'digits'"),
    (np.where(MASK, np.nan, X), "the test data hold 2 value"),
]


@pytest.mark.parametrize(("test", "message"), WRONG_TESTS, ids=range(len(WRONG_TESTS)))
@pytest.mark.parametrize("form", ["array", "data set"])
def test_a_test_split_that_is_not_like_training_is_refused(form, test, message):
    data = (X, {"label": np.arange(4)})
    data = ae.data.as_dataset(data) if form == "data set" else data
    with pytest.raises(DataError, match=message):
        ae.data.as_dataset(data, test)


def test_bytes_in_training_and_fractions_in_test_are_two_units():
    with pytest.raises(DataError, match="training examples are uint8, .* test examples float64"):
        ae.data.as_dataset(X.astype(np.uint8), X / 255)
