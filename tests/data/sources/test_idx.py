"""IDX files, written here by hand, read back; and every way in which they can be damaged."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.data.sources.files import ArrayFile, Rows
from ae_jax.data.sources.idx import read
from ae_jax.errors import DataError, MissingFileError

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}
RNG = np.random.default_rng(0)
IMAGES = {"train": RNG.integers(0, 256, (7, 5, 4), np.uint8)}
IMAGES["t10k"] = RNG.integers(0, 256, (3, 5, 4), np.uint8)
LABELS = {"train": np.arange(7, dtype=np.uint8), "t10k": np.array([9, 0, 4], np.uint8)}


def encoded(x, dtype="u1"):
    header = struct.pack(">BBBB", 0, 0, CODES[dtype], x.ndim) + struct.pack(f">{x.ndim}I", *x.shape)
    return header + x.astype(dtype).tobytes()


def write(folder, *, compressed=False, labels=True, dot="-"):
    for split in IMAGES:
        files = {f"{split}-images{dot}idx3-ubyte": encoded(IMAGES[split])}
        if labels:
            files[f"{split}-labels{dot}idx1-ubyte"] = encoded(LABELS[split])
        for name, data in files.items():
            path = folder / (name + ".gz" * compressed)
            path.write_bytes(gzip.compress(data) if compressed else data)
    return folder


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_mnists_files(tmp_path, compressed, dot):
    dataset = ae.data.load(f"idx:{write(tmp_path, compressed=compressed, dot=dot)}")
    for split, part in (("train", dataset.train), ("t10k", dataset.test)):
        got = in_memory(part)
        np.testing.assert_array_equal(got.x, IMAGES[split][..., None])
        np.testing.assert_array_equal(got.extras["label"], LABELS[split])
        assert (got.x.dtype, got.extras["label"].dtype) == (np.uint8, np.int32)
    assert isinstance(dataset.train, Rows) != compressed


def test_files_without_labels(tmp_path):
    dataset = ae.data.idx(write(tmp_path, labels=False))
    assert dataset.train.spec.extras == {}


@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(sorted(CODES)),
    shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=4),
    compressed=st.booleans(),
    data=st.data(),
)
def test_every_dtype_and_number_of_axes(tmp_path_factory, dtype, shape, compressed, data):
    x = data.draw(hnp.arrays(np.dtype(dtype), shape))
    path = tmp_path_factory.mktemp("idx") / ("x.gz" if compressed else "x")
    content = encoded(x, dtype)
    path.write_bytes(gzip.compress(content) if compressed else content)
    array = read(path)
    assert isinstance(array, ArrayFile) != compressed
    assert array.dtype == x.dtype.newbyteorder("=")
    np.testing.assert_array_equal(array[:], x)


HEADER = 16
WHOLE = HEADER + 7 * 5 * 4


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda b: b"\0\0\x07\x03" + b[4:], "is not an IDX file: expected the magic number 00 00, "
         "a dtype of 08, 09, 0b, 0c, 0d, 0e, and the number of axes, found 00 00 07 03"),
        (lambda b: b"\x89PNG" + b, "found 89 50 4e 47"),
        (lambda b: b"\0\0\x08\0" + b[4:], "found 00 00 08 00"),
        (lambda b: b"", "found nothing"),
        (lambda b: b[:9], "is truncated: expected 16 bytes of header, found 9"),
        (lambda b: b[:-1], r"is truncated: shape \(7, 5, 4\) needs 156 bytes, found 155"),
        (lambda b: b + b"ab", r"is too long: shape \(7, 5, 4\) needs 156 bytes, found 158"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path, compressed, change, match):
    name = "train-images-idx3-ubyte" + ".gz" * compressed
    path = write(tmp_path, compressed=compressed) / name
    data = change(encoded(IMAGES["train"]))
    assert len(encoded(IMAGES["train"])) == WHOLE
    path.write_bytes(gzip.compress(data) if compressed else data)
    with pytest.raises(DataError, match=f"{name}' .*{match}"):
        ae.data.idx(tmp_path)


@pytest.mark.parametrize(
    "change", [lambda b: b[:-20], lambda b: b"no gzip", lambda b: b[:30] + b"\xff" * 9 + b[39:]]
)
def test_a_damaged_gzip_file_is_named(tmp_path, change):
    path = write(tmp_path, compressed=True) / "train-images-idx3-ubyte.gz"
    data = change(path.read_bytes())
    path.write_bytes(data)
    match = rf"idx3-ubyte.gz' \({len(data)} bytes\) is not a whole gzip file"
    with pytest.raises(DataError, match=match):
        ae.data.idx(tmp_path)


def test_labels_that_are_not_as_many_as_the_images(tmp_path):
    (write(tmp_path) / "t10k-labels-idx1-ubyte").write_bytes(encoded(np.arange(4)))
    match = "t10k-labels-idx1-ubyte' has 4 labels, 't10k-images-idx3-ubyte' 3 images"
    with pytest.raises(DataError, match=match):
        ae.data.idx(tmp_path)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_file_that_is_missing_is_named(tmp_path, name):
    (write(tmp_path) / name).unlink()
    with pytest.raises(MissingFileError, match=f"'{tmp_path}' has no {name}, with .gz or not"):
        ae.data.idx(tmp_path)


def test_a_missing_folder_and_one_that_is_a_file(tmp_path):
    path = write(tmp_path) / "train-images-idx3-ubyte"
    with pytest.raises(MissingFileError, match=f"'{path}' is a file; expected a folder"):
        ae.data.idx(path)
    with pytest.raises(MissingFileError, match="does not exist"):
        ae.data.idx(tmp_path / "mnist")


def test_images_with_channels_stay_as_they_are(tmp_path):
    colour = RNG.integers(0, 256, (4, 3, 2, 3), np.uint8)
    for split in IMAGES:
        (tmp_path / f"{split}-images-idx4-ubyte").write_bytes(encoded(colour))
    np.testing.assert_array_equal(in_memory(ae.data.idx(tmp_path).train).x, colour)
