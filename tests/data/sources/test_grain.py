"""Grain's sources: in Python, in ArrayRecord files, and what is said of damaged records."""

import io
import pickle

import grain
import numpy as np
import pytest
from array_record.python import array_record_module

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.errors import ConfigError, DataError, MissingFileError, UnknownNameError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (12, 4, 3), np.uint8)
ORDER = np.array([7, 0, 0, 11, 3])


def as_npy(x, save=np.save, **named):
    buffer = io.BytesIO()
    save(buffer, x) if not named else save(buffer, x=x, **named)
    return buffer.getvalue()


def write(path, records):
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    return path


def decode_raw(record):
    """A user's own function."""
    return {"image": np.frombuffer(record, np.uint8).reshape(4, 3), "note": "text"}


def the_users_source():
    """A Grain source of the user's own."""
    return grain.MapDataset.source([{"x": x, "label": i, "name": "n"} for i, x in enumerate(X)])


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for shard, part in enumerate(np.split(X, [5])):
        write(folder / f"a-{shard}.array_record", map(as_npy, part))
    return folder


def test_arrays_and_dicts():
    train = ae.data.from_grain(list(X), test_fraction=0).train
    assert train.spec.extras == {}
    np.testing.assert_array_equal(train.read(ORDER).x, X[ORDER])
    elements = [{"image": x, "label": i, "text": "a", "weight": 0.5} for i, x in enumerate(X)]
    got = ae.data.from_grain(elements, test_fraction=0).train.read(ORDER)
    np.testing.assert_array_equal(got.x, X[ORDER])
    np.testing.assert_array_equal(got.extras["label"], ORDER)
    assert set(got.extras) == {"label", "weight"}


def test_grains_own_data_set_with_its_transformations():
    data = grain.MapDataset.source(list(X)).map(lambda x: 255 - x)[2:8]
    dataset = ae.data.from_grain(data, test=grain.MapDataset.source(list(X[:2])))
    np.testing.assert_array_equal(in_memory(dataset.train).x, 255 - X[2:8])
    np.testing.assert_array_equal(in_memory(dataset.test).x, X[:2])
    held_out = in_memory(ae.data.from_grain(list(X), test_fraction=0.4).test).x
    np.testing.assert_array_equal(held_out, X[ae.data.split_mask(12, 0.4)])


def test_a_source_by_the_name_of_its_function():
    name = f"{__name__}:the_users_source"
    dataset = ae.data.load(f"grain:{name}", test_fraction=0)
    assert dataset.source == f"grain:{name}"
    np.testing.assert_array_equal(dataset.train.read(ORDER).extras["label"], ORDER)
    with pytest.raises(UnknownNameError, match="cannot import 'tests.nothing:here'"):
        ae.data.load("grain:tests.nothing:here")


def test_arrayrecord_files_by_pattern_and_alone(shards):
    dataset = ae.data.load(f"arrayrecord:{shards}/a-*.array_record", test_fraction=0)
    np.testing.assert_array_equal(dataset.train.read(ORDER).x, X[ORDER])
    np.testing.assert_array_equal(in_memory(dataset.train).x, X)
    assert len(pickle.dumps(dataset.train)) < 3_000
    alone = ae.data.arrayrecord(shards / "a-1.array_record", test_fraction=0)
    np.testing.assert_array_equal(in_memory(alone.train).x, X[5:])


def test_records_of_several_arrays_and_of_the_users_own_kind(tmp_path):
    records = [as_npy(x, np.savez, label=np.int32(i)) for i, x in enumerate(X)]
    train = ae.data.arrayrecord(write(tmp_path / "a", records), test_fraction=0).train
    np.testing.assert_array_equal(train.read(ORDER).extras["label"], ORDER)
    path = write(tmp_path / "b", [x.tobytes() for x in X])
    name = f"{__name__}:decode_raw"
    train = ae.data.load(f"arrayrecord:{path}", decode=name, test_fraction=0).train
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(train)).read(ORDER).x, X[ORDER])
    with pytest.raises(UnknownNameError, match="cannot import '.*:decode_rew'"):
        ae.data.arrayrecord(path, decode=f"{__name__}:decode_rew").train.spec  # noqa: B018


@pytest.mark.parametrize(
    "change", [lambda b: b[: len(b) // 2], lambda b: b[:-10], lambda b: b"", lambda b: b"text" * 99]
)
def test_a_truncated_arrayrecord_file_is_named(shards, tmp_path, change):
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    bad = tmp_path / "a-1.array_record"
    bad.write_bytes(change(bad.read_bytes()))
    match = rf"'{bad}' \({bad.stat().st_size} bytes\) is not a whole ArrayRecord file: .+"
    with pytest.raises(DataError, match=match):
        ae.data.arrayrecord(tmp_path / "a-*")


@pytest.fixture
def damaged(tmp_path):
    """A second file of two whose record 4 is broken."""
    noise = RNG.integers(0, 256, (9, 4, 3), np.uint8)
    write(tmp_path / "a-0", map(as_npy, X))
    path = write(tmp_path / "a-1", map(as_npy, noise))
    data, at = path.read_bytes(), path.read_bytes().index(noise[4].tobytes())
    path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
    return tmp_path / "a-*", np.concatenate([X, noise])


def test_a_corrupt_record_in_the_middle_is_named(damaged):
    pattern, _ = damaged
    train = ae.data.arrayrecord(pattern, test_fraction=0).train
    with pytest.raises(DataError, match="record 4 of '.*/a-1' cannot be read: .*mismatch"):
        train.read(np.array([3, 16, 20]))


def test_a_corrupt_record_can_be_skipped(damaged):
    pattern, x = damaged
    train = ae.data.arrayrecord(pattern, test_fraction=0, on_bad="skip").train
    order = np.array([3, 16, 20, 16])
    got = train.read(order)
    np.testing.assert_array_equal(got.valid, [True, False, True, False])
    np.testing.assert_array_equal(got.x, np.where((order == 16)[:, None, None], 0, x[order]))


def test_a_record_that_cannot_be_decoded(tmp_path):
    path = write(tmp_path / "a", [as_npy(X[0]), b"no npy", as_npy(X[2])])
    train = ae.data.arrayrecord(path, test_fraction=0).train
    with pytest.raises(DataError, match="record 1 of '.*/a' cannot be decoded: "):
        train.read(np.arange(3))
    train = ae.data.arrayrecord(path, test_fraction=0, on_bad="skip").train
    np.testing.assert_array_equal(train.read(np.arange(3)).valid, [True, False, True])


@pytest.mark.parametrize(
    ("elements", "match"),
    [
        ([X[0], X[1][:2]], r"element 1 of the Grain source: 'x' is uint8 of shape \(2, 3\), that "
         r"of the first one uint8 of shape \(4, 3\)"),
        ([X[0], X[1] / 2], "'x' is float64 of shape .*, that of the first one uint8"),
        ([{"x": X[0], "label": 1}, {"x": X[1]}], "element 1 of .* has no 'label'"),
        ([{"x": X[0]}, {"y": X[1], "z": 0}], "element 1 .* holds y, z; expected an 'x' or an 'im"),
    ],
)  # fmt: skip
def test_elements_that_are_not_alike(elements, match):
    train = ae.data.from_grain(elements, test_fraction=0).train
    with pytest.raises(DataError, match=match):
        train.read(np.arange(2))
    train = ae.data.from_grain(elements, test_fraction=0, on_bad="skip").train
    np.testing.assert_array_equal(train.read(np.arange(2)).valid, [True, False])


def test_a_first_element_that_cannot_be_had():
    assert ae.data.from_grain([None, X[0]], on_bad="skip", test_fraction=0).train.spec.x.shape == ()
    bad = [{"y": 0}, {"x": X[0]}]
    got = ae.data.from_grain(bad, on_bad="skip", test_fraction=0).train.read(np.arange(2))
    np.testing.assert_array_equal(got.valid, [False, True])
    with pytest.raises(DataError, match="element 0 of bad holds y"):
        ae.data.from_grain(bad, name="bad", test_fraction=0).train.spec  # noqa: B018
    with pytest.raises(DataError, match="none of its 1 elements can be read"):
        ae.data.from_grain(bad[:1], on_bad="skip", test_fraction=0).train.spec  # noqa: B018


def test_missing_files_and_wrong_options(shards):
    with pytest.raises(MissingFileError, match=r"no file matches '.*/b-\*'"):
        ae.data.arrayrecord(shards / "b-*")
    match = r"does not exist; did you mean 'a-[01].array_record'\?"
    with pytest.raises(MissingFileError, match=match):
        ae.data.arrayrecord(shards / "a-2.array_record")
    with pytest.raises(DataError, match="the Grain source has no elements"):
        ae.data.from_grain([])
    with pytest.raises(ConfigError, match="on_bad must be 'error' or 'skip', got None"):
        ae.data.from_grain(list(X), on_bad=None)
