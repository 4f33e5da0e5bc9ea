"""TFDS data sets as ArrayRecord: read whole batches at a time, without TensorFlow."""

import io
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets
from PIL import Image, ImageOps

import ae_jax as ae
from ae_jax.data.sources.files import Rows
from ae_jax.errors import ConfigError, DataError, MissingFileError, UnknownNameError
from tests.data.sources import tfds_files

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (9, 6, 5, 3), np.uint8)
LABEL = np.array([2, 0, 1, 1, 0, 2, 2, 0, 1])
WEIGHT = RNG.normal(size=9)
ORDER = np.array([7, 0, 0, 8, 3])
FEATURES = {
    "image": tensorflow_datasets.features.Image(shape=(6, 5, 3)),
    "label": tensorflow_datasets.features.ClassLabel(num_classes=3),
    "weight": np.float64,
    "note": tensorflow_datasets.features.Text(),
}
PNGS = [tfds_files.png(x) for x in X]
EXAMPLES = [
    {"image": image, "label": label, "weight": weight, "note": b"a note"}
    for image, label, weight in zip(PNGS, LABEL, WEIGHT, strict=True)
]
SPLITS = {"train": [EXAMPLES[:4], EXAMPLES[4:]], "test": [EXAMPLES[:2]]}


@pytest.fixture
def folder(tmp_path):
    return tfds_files.write(tmp_path, FEATURES, SPLITS)


def load(folder, name="tiny", **arguments):
    return ae.data.load(f"tfds:{name}", **{"data_dir": folder.parents[1], **arguments})


@pytest.mark.parametrize("cache", [False, "auto"])
def test_batches_are_read_across_shards_in_any_order(folder, cache):
    data = load(folder, cache=cache)
    assert (len(data.train), len(data.test)) == (9, 2)
    read = data.train.read(ORDER)
    np.testing.assert_array_equal(read.x, X[ORDER])
    np.testing.assert_array_equal(read.extras["label"], LABEL[ORDER])
    np.testing.assert_array_equal(read.extras["weight"], WEIGHT[ORDER].astype(np.float32))
    assert read.extras.keys() == {"label", "weight"}
    assert read.x.dtype == np.uint8
    assert read.extras["label"].dtype == np.int32
    assert (read.observed, read.valid) == (None, None)
    assert data.train.read(np.arange(0)).x.shape == (0, 6, 5, 3)
    assert data.value_range == (0.0, 255.0)
    assert data.source == "tfds:tiny"


@pytest.mark.parametrize("cache", [False, True])
def test_the_spec_is_what_is_read(folder, cache):
    data = load(folder, cache=cache)
    read = data.train.read(ORDER)
    assert data.train.spec.x.shape == read.x.shape[1:]
    assert data.train.spec.x.dtype == read.x.dtype
    for key, field in data.train.spec.extras.items():
        assert (field.shape, field.dtype) == (read.extras[key].shape[1:], read.extras[key].dtype)


def test_tensorflow_is_not_imported_even_where_it_is_installed(folder, tmp_path):
    stand_in = tmp_path / "packages" / "tensorflow"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").write_text("raise AssertionError('TensorFlow is imported')")
    code = """
import sys
import numpy as np
import ae_jax as ae
for cache in (False, True):
    data = ae.data.load("tfds:tiny", cache=cache)  # of $TFDS_DATA_DIR
    assert data.train.read(np.arange(9)).x.shape == (9, 6, 5, 3)
sys.exit("tensorflow" in sys.modules)
"""
    paths = os.pathsep.join([str(stand_in.parent), str(pathlib.Path(ae.__file__).parents[1])])
    environment = {"PYTHONPATH": paths, "TFDS_DATA_DIR": str(folder.parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | environment)


@pytest.mark.parametrize("cache", [False, True])
def test_a_source_travels_to_other_processes(folder, cache):
    source = load(folder, cache=cache).train
    source.read(ORDER)
    packed = pickle.dumps(source)
    assert len(packed) < 2000
    np.testing.assert_array_equal(pickle.loads(packed).read(ORDER).x, X[ORDER])


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ("train[:5]", "train[5:]", (X[:5], X[5:])),
        ("train[:50%]", "test", (X[:4], X[:2])),
        ("train[6:]+train[:2]", "train[2:6]", (np.concatenate([X[6:], X[:2]]), X[2:6])),
    ],
)
def test_tfds_split_syntax(folder, train, test, expected):
    data = load(folder, train=train, test=test, cache=False)
    for part, x in zip((data.train, data.test), expected, strict=True):
        np.testing.assert_array_equal(part.read(np.arange(len(part))).x, x)


def test_without_a_test_split_a_part_is_held_out(tmp_path):
    many = EXAMPLES * 12
    folder = tfds_files.write(tmp_path, FEATURES, {"train": [many]})
    held_out = ae.data.split_mask(108, 0.1)
    for cache in (False, True):
        data = load(folder, cache=cache)
        np.testing.assert_array_equal(
            data.test.read(np.arange(len(data.test))).x, np.tile(X, (12, 1, 1, 1))[held_out]
        )
        assert len(data.train) == 108 - held_out.sum()


def test_a_fraction_that_is_asked_for_is_held_out_of_train(folder):
    held_out = ae.data.split_mask(9, 0.4)
    assert 0 < held_out.sum() < 9
    data = load(folder, test_fraction=0.4)
    np.testing.assert_array_equal(data.test.read(np.arange(held_out.sum())).x, X[held_out])


def test_configs_and_versions_are_named_as_tfds_does(tmp_path):
    tfds_files.write(tmp_path, FEATURES, SPLITS, name="tiny/big")
    for name in ("tiny/big", "tiny/big:1.0.0", "tiny/big:1.*.*"):
        assert len(ae.data.load(f"tfds:{name}", data_dir=tmp_path).train) == 9


def test_images_of_several_sizes_are_cut_and_resized(tmp_path):
    whole = [X[0], RNG.integers(0, 256, (20, 13, 3), np.uint8), np.full((7, 9), 90, np.uint8)]
    features = {"image": tensorflow_datasets.features.Image()}
    examples = [{"image": tfds_files.png(x)} for x in whole]
    folder = tfds_files.write(tmp_path, features, {"train": [examples]})
    x = load(folder, size=(4, 6), test_fraction=0.0, cache=False).train.read(np.arange(3)).x
    for got, image in zip(x, whole, strict=True):
        expected = Image.fromarray(image).convert("RGB")
        expected = ImageOps.fit(expected, (6, 4), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(got, np.asarray(expected))
    assert load(folder, size=3, cache=False).train.spec.x.shape == (3, 3, 3)
    with pytest.raises(ConfigError, match=r"'image' of tiny/1.0.0 train .*None.*; give a size"):
        load(folder)
    with pytest.raises(ConfigError, match="size must be a positive whole number .*, got 0"):
        load(folder, size=0)


def test_grey_images_keep_their_one_channel_when_resized(tmp_path):
    features = {"image": tensorflow_datasets.features.Image(shape=(None, None, 1))}
    grey = X[:, :, :, :1]
    examples = [{"image": tfds_files.png(x)} for x in grey]
    folder = tfds_files.write(tmp_path, features, {"train": [examples]})
    data = load(folder, size=(6, 5), test_fraction=0.0)
    np.testing.assert_array_equal(data.train.read(np.arange(9)).x, grey)


def test_another_feature_may_be_x(tmp_path):
    vectors = RNG.normal(size=(9, 4)).astype(np.float32)
    features = {"v": tensorflow_datasets.features.Tensor(shape=(4,), dtype=np.float32)}
    examples = [{"v": v} for v in vectors]
    folder = tfds_files.write(tmp_path, features, {"train": [examples]})
    data = load(folder, field="v", test_fraction=0.0)
    np.testing.assert_array_equal(data.train.read(ORDER).x, vectors[ORDER])
    assert data.value_range is None
    with pytest.raises(ConfigError, match=r"no image: .*field=.*Known: v\."):
        load(folder)
    with pytest.raises(ConfigError, match="size is for uint8 images"):
        load(folder, field="v", size=3)


def test_of_several_images_the_one_called_image_is_x(tmp_path):
    features = dict.fromkeys(("image", "second"), FEATURES["image"])
    examples = [{"image": a, "second": b} for a, b in zip(PNGS, PNGS[::-1], strict=True)]
    folder = tfds_files.write(tmp_path, features, {"train": [examples]})
    arguments = {"test_fraction": 0.0, "cache": False}
    np.testing.assert_array_equal(load(folder, **arguments).train.read(ORDER).x, X[ORDER])
    other = load(folder, field="second", **arguments).train
    np.testing.assert_array_equal(other.read(ORDER).x, X[::-1][ORDER])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"train": "trian"}, UnknownNameError, r"no split 'trian'; did you mean 'train'\?"),
        ({"train": "trian[:3]"}, UnknownNameError, r"no split 'trian'; did you mean 'train'\?"),
        ({"test": "test[:x]"}, ConfigError, r"the split 'test\[:x\]' cannot be read"),
        ({"train": "train[5:5]", "test": "test"}, ConfigError, "no examples"),
        ({"train": "train[:5]", "test": "train[4:]"}, ConfigError, "share examples of"),
        ({"train": "train", "test": "train[8:]"}, ConfigError, "share examples of"),
        ({"field": "imagee"}, UnknownNameError, r"no feature 'imagee'; did you mean 'image'\?"),
        ({"field": "note"}, ConfigError, "'note' of tiny/1.0.0 train must be an array of numbers"),
        ({"field": "label"}, ConfigError, "'label' of tiny/1.0.0 train must be an array"),
        ({"on_bad": "warn"}, ConfigError, "on_bad must be 'error' or 'skip', got 'warn'"),
        ({"cache": 3}, ConfigError, "cache must be .*, got 3"),
        ({"test": "test", "test_fraction": 0.1}, ConfigError, "not both"),
        ({"name": "tiny:7.0.0"}, MissingFileError, r"'tiny:7.0.0' is not prepared.*tiny/1\.0\.0"),
        ({"name": "tiny/other"}, MissingFileError, "'tiny/other' is not prepared"),
        ({"name": "fashin_mnist"}, UnknownNameError, "did you mean 'fashion_mnist'?"),
        ({"name": "no name"}, ConfigError, "'no name' is no name of a TFDS data set"),
    ],
)
def test_bad_arguments(folder, arguments, error, message):
    with pytest.raises(error, match=message):
        load(folder, **arguments)


def test_what_is_not_prepared_names_the_command_that_prepares_it(tmp_path):
    command = f"ae-jax prepare --dataset=fashion_mnist --data_dir={tmp_path}"
    with pytest.raises(FileNotFoundError, match=command):
        ae.data.load("tfds:fashion_mnist", data_dir=tmp_path)


def test_another_file_format_names_the_command_that_replaces_it(tmp_path):
    folder = tfds_files.write(tmp_path, FEATURES, SPLITS, file_format="tfrecord")
    command = f"--dataset=tiny:1.0.0 --data_dir={tmp_path} --overwrite"
    with pytest.raises(DataError, match=f"holds tfrecord files; expected array_record.*{command}"):
        load(folder)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_a_damaged_description_is_an_error_that_names_the_folder(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"'{folder.parents[1]}' holds of 'tiny' cannot be read"):
        load(folder)


def test_a_missing_shard_is_named(folder):
    path = tfds_files.shard_path(folder, "train", 1, 2)
    path.unlink()
    with pytest.raises(MissingFileError, match=f"'{path}' of tiny/1.0.0 train is missing"):
        load(folder)


@pytest.mark.parametrize("kept", [0, 20_000, -1])
def test_a_truncated_shard_is_named_with_what_it_should_hold(folder, kept):
    path = tfds_files.shard_path(folder, "train", 1, 2)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=f"'{path}' is truncated .*expected 5 records, found 0"):
        load(folder)


def test_a_shard_of_another_length_is_named(folder):
    path = tfds_files.shard_path(folder, "train", 1, 2)
    shutil.copy(tfds_files.shard_path(folder, "train", 0, 2), path)
    with pytest.raises(DataError, match=f"'{path}'.*expected 5 records, found 4"):
        load(folder)


def bad_record(kind):
    """An example as the seventh stands, damaged before it was written."""
    image = PNGS[6]
    damaged = {
        "truncated": image[:-30],
        "no image": b"not an image at all",
        "empty": b"",
        "size": tfds_files.png(X[6, :4]),
    }
    return {**EXAMPLES[6], "image": damaged[kind]}


@pytest.mark.parametrize("kind", ["truncated", "no image", "empty", "size"])
@pytest.mark.parametrize("cache", [False, True])
def test_a_bad_image_in_the_middle_of_a_shard(tmp_path, kind, cache):
    examples = [*EXAMPLES[:6], bad_record(kind), *EXAMPLES[7:]]
    shards = {"train": [examples[:4], examples[4:]], "test": [EXAMPLES[:1]]}
    folder = tfds_files.write(tmp_path, FEATURES, shards)
    path = tfds_files.shard_path(folder, "train", 1, 2)
    expected = f"record 6 of tiny/1.0.0 train cannot be read: .*; it is record 2 of '{path}'"
    with pytest.raises(DataError, match=expected):
        load(folder, cache=cache).train.read(np.arange(9))
    check_skipped(load(folder, cache=cache, on_bad="skip").train, 6)


@pytest.mark.parametrize("cache", [False, True])
def test_a_damaged_record_in_the_middle_of_a_shard(folder, cache):
    path = tfds_files.shard_path(folder, "train", 1, 2)
    tfds_files.damage(path, PNGS[6])
    with pytest.raises(DataError, match=f"record 6 .*hash mismatch.* record 2 of '{path}'"):
        load(folder, cache=cache).train.read(np.arange(9))
    check_skipped(load(folder, cache=cache, on_bad="skip").train, 6)


def check_skipped(source, bad):
    """Zeros and `valid` False in the place of the bad record; all others as they are."""
    assert source.spec.valid.dtype == np.bool_
    read = source.read(np.arange(9))
    good = np.arange(9) != bad
    np.testing.assert_array_equal(read.valid, good)
    np.testing.assert_array_equal(read.x, np.where(good[:, None, None, None], X, 0))
    np.testing.assert_array_equal(read.extras["label"], np.where(good, LABEL, 0))


def test_places_are_those_of_the_file_for_part_of_a_split(folder):
    path = tfds_files.shard_path(folder, "train", 1, 2)
    tfds_files.damage(path, PNGS[6])
    part = load(folder, train="train[5:]", test="train[:5]", cache=False).train
    with pytest.raises(DataError, match=f"record 1 of .*it is record 2 of '{path}'"):
        part.read(np.arange(4))


def test_the_cache_lies_in_the_data_sets_own_folder(folder):
    data = load(folder)
    assert isinstance(data.train, Rows)
    assert (folder / "decoded") in pathlib.Path(data.train.x.path).parents
    assert load(folder).train.x.path == data.train.x.path
    assert not isinstance(load(folder, cache=False).train, Rows)


def test_a_folder_may_be_named_for_the_cache(folder, tmp_path):
    data = load(folder, cache=str(tmp_path / "mine"))
    assert (tmp_path / "mine") in pathlib.Path(data.train.x.path).parents
    assert not (folder / "decoded").exists()


def test_data_written_anew_are_decoded_anew(folder):
    load(folder)
    shutil.rmtree(folder)
    flipped = [{**e, "image": image} for e, image in zip(EXAMPLES, PNGS[::-1], strict=True)]
    assert tfds_files.write(folder.parents[1], FEATURES, {"train": [flipped]}) == folder
    read = load(folder, test_fraction=0.0).train.read(np.arange(9))
    np.testing.assert_array_equal(read.x, X[::-1])


def test_other_options_do_not_share_a_cache(folder):
    small = load(folder, size=2).train
    assert load(folder).train.spec.x.shape == (6, 5, 3)
    assert small.spec.x.shape == (2, 2, 3)
    assert load(folder, on_bad="skip").train.spec.valid is not None


def test_larger_data_are_not_cached_unasked(folder, monkeypatch):
    from ae_jax.data.sources import cache

    monkeypatch.setattr(cache, "LIMIT", 11 * (6 * 5 * 3 + 8) - 1)
    assert not isinstance(load(folder).train, Rows)
    assert isinstance(load(folder, cache=True).train, Rows)
    monkeypatch.setattr(cache, "LIMIT", 11 * (6 * 5 * 3 + 8))
    assert isinstance(load(folder).train, Rows)


def test_without_tensorflow_datasets_the_error_names_the_fix(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(MissingFileError, match="pip install tensorflow-datasets"):
        load(folder)


def test_jpegs_are_images_too(tmp_path):
    jpegs = [tfds_files.png(x, "JPEG") for x in X]
    folder = tfds_files.write(
        tmp_path, {"image": FEATURES["image"]}, {"train": [[{"image": jpeg} for jpeg in jpegs]]}
    )
    expected = np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])
    data = load(folder, test_fraction=0.0)
    np.testing.assert_array_equal(data.train.read(np.arange(9)).x, expected)
