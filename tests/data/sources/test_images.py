"""Folders of images: PNG written here by hand; sizes, channels, classes, and files gone bad."""

import struct
import zlib

import numpy as np
import PIL.Image
import pytest

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.errors import ConfigError, DataError, MissingFileError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 4, 1), np.uint8)
COLOUR = RNG.integers(0, 256, (6, 5, 4, 3), np.uint8)
COLOURS = {
    (1, 1): 0,
    (3, 1): 2,
    (4, 1): 6,
    (1, 2): 0,
    (3, 2): 2,
}  # channels, bytes each: PNG's colour type


def png(x):
    """A PNG file of `[h, w, c]`, uint8 or uint16."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    h, w, c = x.shape
    size = x.dtype.itemsize
    header = struct.pack(">IIBBBBB", w, h, 8 * size, COLOURS[c, size], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(x.dtype.newbyteorder(">")).tobytes() for row in x)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def write(folder, **named):
    for name, x in named.items():
        path = folder / (name.replace("__", "/") + ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(x if isinstance(x, bytes) else png(x))
    return folder


def load(folder, **options):
    return ae.data.load(f"images:{folder}", **({"test_fraction": 0} | options))


@pytest.mark.parametrize("x", [GREY, COLOUR], ids=["grey", "colour"])
def test_images_are_read_in_the_order_of_their_names(tmp_path, x):
    write(tmp_path, **{f"{i}": x[i] for i in (4, 0, 2, 5, 1, 3)})
    dataset = load(tmp_path)
    assert dataset.train.spec.extras == {}
    got = in_memory(dataset.train).x
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, x)


def test_the_names_of_subfolders_are_classes(tmp_path):
    write(tmp_path, dog__b=GREY[3], cat__deep__er=GREY[0], ant__a=GREY[1], dog__a=GREY[2])
    train = load(tmp_path).train
    assert train.whole.classes == ("ant", "cat", "dog")
    got = in_memory(train)
    np.testing.assert_array_equal(got.extras["label"], [0, 1, 2, 2])
    np.testing.assert_array_equal(got.x, GREY[[1, 0, 2, 3]])


def test_images_beside_subfolders_have_the_empty_name(tmp_path):
    train = load(write(tmp_path, a=GREY[0], b__c=GREY[1])).train
    assert train.whole.classes == ("", "b")
    np.testing.assert_array_equal(in_memory(train).extras["label"], [0, 1])


def test_what_is_held_out_is_split_masks(tmp_path):
    x = RNG.integers(0, 256, (40, 2, 2, 1), np.uint8)
    write(tmp_path, **{f"{i:02d}": image for i, image in enumerate(x)})
    dataset = load(tmp_path, test_fraction=0.3)
    mask = ae.data.split_mask(40, 0.3)
    np.testing.assert_array_equal(in_memory(dataset.test).x, x[mask])
    np.testing.assert_array_equal(in_memory(dataset.train).x, x[~mask])


def test_a_size_cuts_out_the_centre_and_resizes_it(tmp_path):
    wide, high = np.zeros((8, 24, 1), np.uint8), np.zeros((24, 8, 1), np.uint8)
    wide[:, 8:16], high[8:16] = 200, 100
    write(tmp_path, a=wide, b=high, c=np.full((40, 40, 1), 7, np.uint8))
    got = in_memory(load(tmp_path, size=4).train).x
    expected = np.array([200, 100, 7], np.uint8).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(got, np.broadcast_to(expected, (3, 4, 4, 1)))


def test_a_size_of_height_and_width(tmp_path):
    x = np.repeat(np.arange(6, dtype=np.uint8) * 40, 4)[:, None] * np.ones((1, 12), np.uint8)
    got = in_memory(load(write(tmp_path, a=x[..., None]), size=[6, 3]).train).x
    assert got.shape == (1, 6, 3, 1)
    np.testing.assert_allclose(got[0, :, 0, 0], np.arange(6) * 40, atol=6)  # bicubic rings
    assert (got == got[:, :, :1]).all()


def test_channels_are_the_first_images_unless_given(tmp_path):
    write(tmp_path, a=COLOUR[1], b=GREY[0])
    got = in_memory(load(tmp_path).train).x
    np.testing.assert_array_equal(got, [COLOUR[1], np.repeat(GREY[0], 3, -1)])
    write(tmp_path, a=GREY[0], b=COLOUR[0])
    luma = np.round(COLOUR[0] @ [0.299, 0.587, 0.114])[..., None]  # ITU-R 601-2
    got = in_memory(load(tmp_path, channels=1).train).x
    np.testing.assert_allclose(got, [GREY[0], luma], atol=1)
    got = in_memory(load(tmp_path, channels=3).train).x
    np.testing.assert_array_equal(got, [np.repeat(GREY[0], 3, -1), COLOUR[0]])
    got = in_memory(load(tmp_path, channels=4).train).x
    np.testing.assert_array_equal(got[1], np.dstack([COLOUR[0], np.full((5, 4), 255)]))


def test_colours_are_not_lost_because_the_first_image_is_grey(tmp_path):
    write(tmp_path, a=GREY[0], b=COLOUR[0], c=np.repeat(GREY[1], 3, -1))
    train = load(tmp_path).train
    match = (
        r"b.png' \(image 1\) has colours and 'a.png' has none: channels=3 keeps them, channels=1"
    )
    with pytest.raises(DataError, match=match):
        in_memory(train)
    got = in_memory(load(tmp_path, on_bad="skip").train)
    np.testing.assert_array_equal(got.valid, [True, False, True])
    np.testing.assert_array_equal(got.x[2], GREY[1])  # grey, stored as colours


def test_photographs_are_turned_upright_and_decoded_small(tmp_path):
    x = np.zeros((64, 128, 3), np.uint8)
    x[:, :64, 0] = 255  # red on the left
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn clockwise: red on top
    PIL.Image.fromarray(x).save(tmp_path / "a.JPG", exif=exif, quality=95)
    assert load(tmp_path).train.spec.x.shape == (128, 64, 3)
    whole = in_memory(load(tmp_path).train).x[0].astype(int)
    small = in_memory(load(tmp_path, size=(8, 4)).train).x[0].astype(int)
    for image in (whole, small):
        top, bottom = np.split(image, 2)
        np.testing.assert_allclose(top[:-2].mean((0, 1)), [255, 0, 0], atol=4)
        np.testing.assert_allclose(bottom[2:].mean((0, 1)), [0, 0, 0], atol=4)


def test_images_of_two_sizes_need_a_size(tmp_path):
    write(tmp_path, a=GREY[0], b=GREY[1], c=GREY[2][:4], d=GREY[3][:3])
    match = r"c.png' \(image 2\) is 4x4, those before it are 5x4: give a size, e.g. size=4, to crop"
    with pytest.raises(DataError, match=match):
        load(tmp_path)
    assert load(tmp_path, size=4).train.spec.x.shape == (4, 4, 1)


CORRUPT = {
    "text": b"this is no image",
    "empty": b"",
    "header": png(GREY[0])[:20],
    "truncated": png(GREY[0])[:50],
    "checksum": png(GREY[0]).replace(b"IDAT", b"IDAX"),
}


@pytest.mark.parametrize("data", CORRUPT.values(), ids=CORRUPT)
@pytest.mark.parametrize("size", [None, 4])
def test_a_corrupt_image_in_the_middle_is_named(tmp_path, data, size):
    write(tmp_path, a=GREY[0], b=data, c=GREY[2])
    match = r"b.png' \(image 1\) cannot be decoded: .*; on_bad='skip' passes over such files"
    with pytest.raises(DataError, match=match):
        in_memory(load(tmp_path, size=size).train)


@pytest.mark.parametrize("data", CORRUPT.values(), ids=CORRUPT)
@pytest.mark.parametrize("where", "abc")
def test_a_corrupt_image_can_be_skipped(tmp_path, data, where):
    write(tmp_path, **({"a": GREY[0], "b": GREY[1], "c": GREY[2]} | {where: data}))
    train = load(tmp_path, on_bad="skip").train
    valid = np.array([name != where for name in "abc"])
    for order in ([0, 1, 2], [2, 0, 1]):
        got = train.read(np.array(order))
        np.testing.assert_array_equal(got.valid, valid[order])
        expected = np.where(valid.reshape(-1, 1, 1, 1), GREY[:3], 0)
        np.testing.assert_array_equal(got.x, expected[order])
    assert train.spec.valid.dtype == np.bool_


def test_without_a_corrupt_image_all_are_valid(tmp_path):
    train = load(write(tmp_path, a=GREY[0]), on_bad="skip").train
    np.testing.assert_array_equal(train.read(np.zeros(3, int)).valid, [True] * 3)


def test_nothing_but_corrupt_images(tmp_path):
    write(tmp_path, a=b"", b=b"x")
    with pytest.raises(DataError, match=f"none of the 2 images under '{tmp_path}' can be decoded"):
        load(tmp_path, on_bad="skip")


@pytest.mark.parametrize("size", [0, -3, 2.5, "64", (4, 0), (4, 4, 4), True])
def test_a_size_that_is_none(tmp_path, size):
    write(tmp_path, a=GREY[0])
    with pytest.raises(ConfigError, match="size must be a positive whole number or a pair"):
        load(tmp_path, size=size)


def test_wrong_options(tmp_path):
    write(tmp_path, a=GREY[0])
    with pytest.raises(ConfigError, match="channels must be 1, 3 or 4, got 2"):
        load(tmp_path, channels=2)
    with pytest.raises(ConfigError, match="on_bad must be 'error' or 'skip', got 'ignore'"):
        load(tmp_path, on_bad="ignore")
    with pytest.raises(ConfigError, match="frames must be 'first' or 'all', got 'last'"):
        load(tmp_path, frames="last")
    with pytest.raises(ConfigError, match="bits must be 8, or None to keep what there is, got 16"):
        load(tmp_path, bits=16)


def test_a_folder_without_images_and_no_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=f"'{tmp_path}' holds no images: expected files .png"):
        load(tmp_path)
    with pytest.raises(MissingFileError, match=r"does not exist; did you mean 'notes.txt'\?"):
        load(tmp_path / "notes")
