"""Which files of a folder are images, classes and splits, and what is said of the others."""

import os

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.errors import ConfigError, DataError
from tests.data.sources.test_images import load, png, write

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (8, 5, 4, 1), np.uint8)


def images_of(source):
    return in_memory(source).x


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "hidden",
    [".ipynb_checkpoints/a", ".git/x/y", "dog/.ipynb_checkpoints/a-checkpoint", "dog/._a", ".a"],
)
def test_what_is_hidden_is_neither_image_nor_class(tmp_path, hidden):
    write(tmp_path, cat__a=X[0], dog__b=X[1])
    write(tmp_path, **{hidden.replace("/", "__", 1).replace("/", "__"): X[2]})
    train = load(tmp_path).train
    assert train.whole.classes == ("cat", "dog")
    np.testing.assert_array_equal(images_of(train), X[:2])


def test_a_hidden_folder_may_be_asked_for(tmp_path):
    write(tmp_path, **{".cache__cat__a": X[0]})
    np.testing.assert_array_equal(images_of(load(tmp_path / ".cache").train), X[:1])


def test_linked_class_folders_and_files_are_followed(tmp_path):
    write(tmp_path / "store", dog__a=X[1], x=X[2])
    write(tmp_path / "data", cat__a=X[0])
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "store" / "dog")
    (tmp_path / "data" / "emu").mkdir()
    (tmp_path / "data" / "emu" / "z.png").symlink_to("../../store/x.png")
    train = load(tmp_path / "data").train
    assert train.whole.classes == ("cat", "dog", "emu")
    np.testing.assert_array_equal(images_of(train), X[:3])


def test_links_that_lead_back_up_end(tmp_path):
    write(tmp_path, cat__a=X[0], dog__deep__b=X[1])
    (tmp_path / "dog" / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "cat" / "here").symlink_to(".")
    train = load(tmp_path).train
    assert train.whole.names == ("cat/a.png", "dog/deep/b.png")


def test_a_link_to_nothing_that_has_an_images_name_is_a_bad_record(tmp_path):
    write(tmp_path, a=X[0], c=X[1])
    (tmp_path / "b.png").symlink_to("gone.png")
    with pytest.raises(DataError, match=r"b.png' \(image 1\) cannot be decoded: .*No such file"):
        load(tmp_path)
    got = in_memory(load(tmp_path, on_bad="skip").train)
    np.testing.assert_array_equal(got.valid, [True, False, True])


def test_a_linked_class_that_is_gone_is_named(tmp_path, caplog):
    write(tmp_path, cat__a=X[0])
    (tmp_path / "dog").symlink_to("/no/such/dog")
    with pytest.raises(DataError) as raised:
        load(tmp_path)
    assert "holds what cannot be read: 1 link to nothing (such as 'dog'); " in one_line(raised)
    assert len(load(tmp_path, on_bad="skip").train) == 1
    assert "passed over 1 link to nothing (such as 'dog')" in caplog.text


@pytest.mark.parametrize("suffix", ["heic", "SVG", "avif", "dcm", "mp4", "jp2"])
def test_formats_that_are_not_read_are_named_and_counted(tmp_path, suffix, caplog):
    write(tmp_path, cat__a=X[0])
    for name in "xy":
        (tmp_path / "cat" / f"{name}.{suffix}").write_bytes(b"anything")
    (tmp_path / "notes.txt").write_text("what is no image is nobody's business")
    with pytest.raises(DataError) as raised:
        load(tmp_path)
    what = f"2 .{suffix.lower()} (such as 'cat/x.{suffix}')"
    assert one_line(raised) == (
        f"'{tmp_path}' holds what cannot be read: {what}; convert or remove it, or pass over it "
        "with on_bad='skip'"
    )
    assert len(load(tmp_path, on_bad="skip").train) == 1
    assert f"'{tmp_path}': passed over {what}" in caplog.text
    (tmp_path / "cat" / "a.png").unlink()
    with pytest.raises(DataError) as raised:
        load(tmp_path)
    assert one_line(raised).endswith(f"holds no images: expected files {LISTED}, but {what}")


LISTED = (
    ".png, .apng, .jpg, .jpeg, .jpe, .jfif, .webp, .gif, .bmp, .tif, .tiff, .pbm, .pgm, .ppm, .pnm"
)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_cannot_be_listed(tmp_path):
    write(tmp_path, cat__a=X[0], dog__a=X[1])
    (tmp_path / "dog").chmod(0)
    with pytest.raises(DataError, match="dog' cannot be listed: .*denied"):
        load(tmp_path)


def test_a_pipe_is_no_image(tmp_path):
    write(tmp_path, a=X[0])
    os.mkfifo(tmp_path / "b.png")
    assert load(tmp_path).train.whole.names == ("a.png",)


# ---- splits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Training", "TEST"), ("train", "val"), ("train", "valid")],
)
def test_folders_called_train_and_test_are_splits(tmp_path, train, test):
    write(
        tmp_path,
        **{f"{train}__dog__a": X[0], f"{train}__cat__b": X[1], f"{train}__cat__a": X[2]},
        **{f"{test}__cat__z": X[3], f"{test}__dog__y": X[4]},
    )
    dataset = load(tmp_path, test_fraction=0.5)
    assert dataset.train.whole.classes == ("cat", "dog")
    assert dataset.validation is None
    for part, x, label in (
        (dataset.train, X[[2, 1, 0]], [0, 0, 1]),
        (dataset.test, X[3:5], [0, 1]),
    ):
        got = in_memory(part)
        np.testing.assert_array_equal(got.x, x)
        np.testing.assert_array_equal(got.extras["label"], label)


def test_a_validation_folder_beside_a_test_folder(tmp_path):
    write(tmp_path, train__a=X[0], train__b=X[1], val__c=X[2], test__d=X[3])
    dataset = load(tmp_path)
    assert dataset.train.spec.extras == {}
    found = [images_of(part) for part in (dataset.train, dataset.validation, dataset.test)]
    for got, x in zip(found, (X[:2], X[2:3], X[3:4]), strict=True):
        np.testing.assert_array_equal(got, x)
    assert list(dataset.splits) == ["train", "validation", "test"]
    with pytest.raises(ConfigError, match="has a validation split of its own; leave out"):
        load(tmp_path, validation_fraction=0.5)


def test_a_training_folder_alone_is_split(tmp_path):
    write(tmp_path, **{f"train__{'ab'[i % 2]}__{i}": X[i] for i in range(8)})
    dataset = load(tmp_path, test_fraction=0.4)
    assert dataset.train.whole.classes == ("a", "b")
    mask = ae.data.split_mask(8, 0.4)
    np.testing.assert_array_equal(images_of(dataset.test), X[[0, 2, 4, 6, 1, 3, 5, 7]][mask])


def test_splits_may_be_declared_classes(tmp_path):
    write(tmp_path, train__a=X[0], test__b=X[1])
    train = load(tmp_path, splits=False).train
    assert train.whole.classes == ("test", "train")
    np.testing.assert_array_equal(images_of(train), X[[1, 0]])


def test_a_class_called_train_among_others_is_one(tmp_path):
    write(tmp_path, bus__a=X[0], train__b=X[1], tram__c=X[2])
    assert load(tmp_path).train.whole.classes == ("bus", "train", "tram")


@pytest.mark.parametrize(
    ("names", "options", "match"),
    [
        (["train/a/1", "train/b/1", "test/a/1"], {}, "differ between splits: only 'train' has 'b'"),
        (["train/a/1", "val/a/1", "val/c/1"], {}, "splits: only 'val' has 'c'; images:"),
        (["train/a/1", "test/1"], {}, "only 'train' has 'a', only 'test' has images in no folder"),
        (["train/1", "test/1", "extra/1"], {}, "as splits are called, and 'extra' beside them"),
        (["train/1", "test/1", "sample"], {}, "and 'sample.png' beside them; splits=False"),
        (["train/1", "bus/1"], {"splits": True}, "holds 'train', as splits are called, and 'bus'"),
        (["cat/1", "bus/1"], {"splits": True}, "no folder called train, as splits are called"),
        (["test/1"], {}, "holds 'test': none to train on; splits=False takes them for classes"),
        (["train/1", "val/1", "valid/1", "test/1"], {}, "two folders of one split; splits=False"),
    ],
)  # fmt: skip
def test_splits_that_do_not_fit_are_refused(tmp_path, names, options, match):
    for i, name in enumerate(names):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(X[i]))
    with pytest.raises(DataError) as raised:
        load(tmp_path, **options)
    assert match in one_line(raised)
