"""NumPy files: read back exactly, mapped rather than read, and refused when damaged."""

import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ae_jax as ae
from ae_jax.data import order
from ae_jax.data.source import SAMPLED, in_memory, sampled
from ae_jax.data.sources.files import Rows
from ae_jax.data.sources.npy import mapped
from ae_jax.errors import DataError, MissingFileError, UnknownNameError

X = np.arange(120, dtype=np.float32).reshape(20, 3, 2)
TEST = ae.data.split_mask(20, 0.3)


def save(path, x):
    np.save(path, x)
    return path


def test_the_splits_of_a_npy_file(tmp_path):
    path = save(tmp_path / "x.npy", X)
    dataset = ae.data.load(f"npy:{path}", test_fraction=0.3)
    assert dataset.source == f"npy:{path}"
    np.testing.assert_array_equal(in_memory(dataset.train).x, X[~TEST])
    np.testing.assert_array_equal(in_memory(dataset.test).x, X[TEST])


@settings(deadline=None, max_examples=40)
@given(
    x=hnp.arrays(
        st.sampled_from(["u1", "i4", ">i4", "<f4", ">f4", "f8", "?", ">u2", "f2"]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
    ),
    fortran=st.booleans(),
)
def test_every_dtype_byte_order_and_layout_reads_back(tmp_path_factory, x, fortran):
    path = tmp_path_factory.mktemp("npy") / "x.npy"
    np.save(path, np.asfortranarray(x) if fortran else x)
    array = mapped(path)
    assert array.dtype == x.dtype.newbyteorder("=")
    assert array.dtype.isnative
    order = np.arange(len(x))[::-1]
    np.testing.assert_array_equal(array[order], x[order])


def test_a_file_is_mapped_only_when_it_is_read_and_pickles_as_its_path(tmp_path):
    path = tmp_path / "big.npy"
    np.save(path, np.zeros((2_000, 1_000), np.float32))
    train = ae.data.npy(path, test_fraction=0).train
    array = train.whole.x
    assert "_mapped" not in vars(array)
    train.read(np.arange(3))
    assert isinstance(array._mapped, np.memmap)
    assert len(pickle.dumps(array)) < 1_000


def test_a_npz_file_gives_extras_and_the_mask_of_observed_entries(tmp_path):
    path, observed = tmp_path / "a.npz", X > 7
    others = {"label": np.arange(20), "observed": observed, "short": np.ones(3)}
    others["objects"] = np.array([{}] * 20)
    np.savez(path, x=X, names=np.array(["a"] * 20), **others)
    dataset = ae.data.load(f"npz:{path}", test_fraction=0.3)
    assert isinstance(dataset.train.whole, Rows)
    got = in_memory(dataset.test)
    np.testing.assert_array_equal(got.x, X[TEST])
    np.testing.assert_array_equal(got.observed, observed[TEST])
    assert set(got.extras) == {"label"}
    np.testing.assert_array_equal(got.extras["label"], np.flatnonzero(TEST))


@pytest.mark.parametrize("save_npz", [np.savez, np.savez_compressed])
def test_a_npz_file_with_splits_of_its_own(tmp_path, save_npz):
    path = tmp_path / "mnist.npz"
    save_npz(path, x_train=X[:15], x_test=X[15:], y_train=np.arange(15), y_test=np.arange(5))
    dataset = ae.data.load(f"npz:{path}")
    train, test = in_memory(dataset.train), in_memory(dataset.test)
    np.testing.assert_array_equal(train.x, X[:15])
    np.testing.assert_array_equal(test.x, X[15:])
    np.testing.assert_array_equal(test.extras["y"], np.arange(5))
    assert set(train.extras) == {"y"}
    assert isinstance(dataset.train, Rows) == (save_npz is np.savez)


def test_a_npz_file_with_only_a_training_split_is_split(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, codes_train=X)
    dataset = ae.data.npz(path, "codes", test_fraction=0.3)
    np.testing.assert_array_equal(in_memory(dataset.test).x, X[TEST])


def test_the_array_of_another_name(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, codes=X)
    with pytest.raises(UnknownNameError, match=r"has no array 'code'; did you mean 'codes'\?"):
        ae.data.npz(path, "code")
    assert len(ae.data.npz(path, "codes", test_fraction=0).train) == 20


def damaged(path, change):
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda b: b[:-100], r"x.npy' is truncated: .* float32 of shape \(20, 3, 2\), expected 608 "
         "bytes, found 508"),
        (lambda b: b[:40], "x.npy' has a broken .npy header: .*expected 118 bytes got 30"),
        (lambda b: b"", r"x.npy' is not a .npy file: expected .*NUMPY', found b''"),
        (lambda b: b"\x89PNG" + b, r"is not a .npy file: .*NUMPY', found b'\\x89PNG\\x93N'"),
        (lambda b: b[:6] + b"\x07\x00" + b[8:], "has a broken .npy header"),
    ],
)  # fmt: skip
def test_a_damaged_npy_file(tmp_path, change, match):
    with pytest.raises(DataError, match=match):
        ae.data.npy(damaged(save(tmp_path / "x.npy", X), change))


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.array([None, "a"]), "x.npy' holds Python objects"),
        (np.array(3.0), "holds a single number; expected an array"),
        (np.zeros((0, 3)), r"training data are empty: shape \(0, 3\)"),
        (np.zeros(3), "one example is"),
        (np.zeros((3, 2), complex), "x.npy' must be real numbers, got dtype complex128"),
        (np.zeros((3, 2), "m8[s]"), r"x.npy' must be real numbers, got dtype timedelta64\[s\]"),
        (np.zeros((3, 2), "M8[D]"), r"x.npy' must be real numbers, got dtype datetime64\[D\]"),
        (np.array([["a", "b"]]), "x.npy' must be real numbers, got dtype <U1"),
        (
            np.zeros(3, [("a", "f4"), ("b", "i4")]),
            "structured_to_unstructured makes columns of a, b",
        ),
    ],
)
def test_a_npy_file_of_something_else(tmp_path, x, match):
    with pytest.raises(DataError, match=match):
        ae.data.load(f"npy:{save(tmp_path / 'x.npy', x)}", test_fraction=0)
    if x.ndim and x.dtype != object and x.dtype.kind not in "f":
        np.savez(tmp_path / "x.npz", x=x)
        with pytest.raises(DataError, match="x.npz', x must be real numbers"):
            ae.data.load(f"npz:{tmp_path / 'x.npz'}")


@pytest.mark.parametrize(
    ("save_npz", "change", "match"),
    [
        (np.savez, lambda b: b[:300], "a.npz' is not a whole .npz file: File is not a zip file"),
        (np.savez_compressed, lambda b: b[:150] + b"\0" * 40 + b[190:], "a.npz' is not a whole"),
        (np.savez, lambda b: b.replace(b"\x93NUMPY", b"\x93NUMPX"), "a.npz', x.npy is not a .npy"),
    ],
)
def test_a_damaged_npz_file(tmp_path, save_npz, change, match):
    path = tmp_path / "a.npz"
    save_npz(path, x=X)
    with pytest.raises(DataError, match=match):
        ae.data.npz(damaged(path, change))


def test_a_mask_of_another_shape(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=X, observed=np.ones(20, bool))
    with pytest.raises(DataError, match=r"must be bool of shape \(20, 3, 2\), got bool of shape"):
        ae.data.npz(path)


def test_a_missing_file_gets_the_nearest_name(tmp_path):
    save(tmp_path / "codes.npy", X)
    match = re.escape(f"'{tmp_path}/code.npy' does not exist; did you mean 'codes.npy'?")
    with pytest.raises(MissingFileError, match=match):
        ae.data.npy(tmp_path / "code.npy")
    with pytest.raises(MissingFileError, match="holds codes.npy$"):
        ae.data.npy(tmp_path / "zzz")
    with pytest.raises(MissingFileError, match=f"of its folders only '{tmp_path}' does"):
        ae.data.npz(tmp_path / "no" / "such" / "x.npz")


def test_nan_is_found_where_no_sample_looks(tmp_path):
    x = np.zeros((9_000, 2), np.float32)
    index = set(range(9_000)) - set(
        order.order(0, 0, np.arange(SAMPLED, dtype=np.uint32), 9_000, np)
    )
    row = min(index)
    x[row, 1] = np.nan
    dataset = ae.data.load(f"npy:{save(tmp_path / 'x.npy', x)}", test_fraction=0)
    sampled(dataset.train)
    with pytest.raises(DataError, match=rf"loaded data hold 1 value.*first nan at \({row}, 1\)"):
        in_memory(dataset.train)


def test_nan_is_found_as_it_is_read(tmp_path):
    from ae_jax.data import blocks as streaming

    x = X.copy()
    x[3, 1, 0] = np.nan
    dataset = ae.data.load(f"npy:{save(tmp_path / 'x.npy', x)}", test_fraction=0)
    shares = streaming.Shares(20, 1, (0,))
    blocks = streaming.Blocks(dataset.train, streaming.sequential(20, 20), shares, 1, 1)
    with pytest.raises(DataError, match=r"first nan at \(3, 1, 0\)"):
        blocks[0]
