"""Images of more than 8 bits, of several frames, with alpha, or turned: whole, or refused."""

import numpy as np
import PIL.Image
import pytest

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.data.sources import cache
from ae_jax.data.spec import choose_preprocessing
from ae_jax.errors import ConfigError, DataError
from tests import small
from tests.data.sources.test_images import load, png

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (6, 5, 4), np.uint8)
WORDS = RNG.integers(0, 2**16, (6, 5, 4)).astype(np.uint16)
WORDS[:, 0, 0], WORDS[:, 0, 1] = 0, 65535


def save(folder, name, x, **options):
    folder.mkdir(exist_ok=True)
    PIL.Image.fromarray(x).save(folder / name, **options)
    return folder


def pages(folder, name, frames, **options):
    first, *rest = map(PIL.Image.fromarray, frames)
    first.save(folder / name, save_all=True, append_images=rest, **options)
    return folder


def tiff(folder, name, x, **options):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(folder / name, x, **options)
    return folder


def only(folder, **options):
    return in_memory(load(folder, **options).train).x


# ---- depth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_sixteen_bits_are_kept(tmp_path, suffix):
    for i, x in enumerate(WORDS):
        save(tmp_path, f"{i}.{suffix}", x)
    dataset = load(tmp_path)
    got = in_memory(dataset.train).x
    assert got.dtype == np.uint16 == dataset.train.spec.x.dtype
    np.testing.assert_array_equal(got[..., 0], WORDS)
    scaled = choose_preprocessing(dataset).apply(got)
    np.testing.assert_allclose(scaled[..., 0], WORDS / 65535, rtol=1e-6)
    np.testing.assert_array_equal(only(tmp_path, bits=8)[..., 0], WORDS >> 8)
    np.testing.assert_array_equal(only(tmp_path, channels=3), np.repeat(got, 3, -1))
    np.testing.assert_array_equal(only(tmp_path, channels=4)[..., 3], np.full_like(WORDS, 65535))


def test_sixteen_bits_are_kept_when_they_are_resized(tmp_path):
    x = RNG.integers(0, 256, (12, 8), np.uint8)
    eight = only(save(tmp_path / "8", "a.png", x), size=(3, 2)).astype(int)
    got = only(save(tmp_path / "16", "a.png", x.astype(np.uint16) * 257), size=(3, 2))
    np.testing.assert_allclose(got, eight * 257, atol=257)  # which 8 bits round to
    flat = np.full((9, 6), 54_321, np.uint16)
    np.testing.assert_array_equal(only(save(tmp_path / "f", "a.png", flat), size=3), 54_321)


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order_and_white_as_zero(tmp_path, order):
    tiff(tmp_path, "a.tif", WORDS[0].astype(f"{order}u2"), byteorder=order)
    np.testing.assert_array_equal(only(tmp_path)[0, ..., 0], WORDS[0])
    tiff(tmp_path, "a.tif", WORDS[0], photometric="miniswhite")
    np.testing.assert_array_equal(only(tmp_path)[0, ..., 0], 65535 - WORDS[0])


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint32", "float32"])
def test_integers_and_floats_of_32_bits_keep_their_values(tmp_path, dtype):
    x = np.array([[0, 1, 6], [-3, 2**15 - 1, 300]]).astype(dtype)
    if dtype in ("int32", "uint32"):
        x[1, 0] = np.iinfo(dtype).max - (2**31 - 1 if dtype == "int32" else 2**32 - 1) + 2**24
    if dtype == "float32":
        x[1, 0] = -2.75e30
    dataset = load(tiff(tmp_path, "a.tif", x))
    got = in_memory(dataset.train).x
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[0, ..., 0], x)
    assert dataset.value_range is None
    assert only(tmp_path, size=2).shape == (1, 2, 2, 1)


@pytest.mark.parametrize(
    ("x", "options", "match"),
    [
        (np.array([[2**24 + 1, 0]], np.int32), {}, "pixels such as 16777217, which fl"),
        (np.array([[2**32 - 1, 0]], np.uint32), {}, "pixels such as 4294967295, which"),
        (np.array([[np.nan, 0]], np.float32), {}, "has pixels that are not finite"),
        (np.array([[1, 0]], np.float32), {"bits": 8}, "32-bit pixels of unknown range, of"),
        (np.array([[1, 0]], np.float32), {"channels": 4}, "of which none is known to be opaque"),
        (np.array([[-1, 0]], np.int8), {}, "has signed 8-bit pixels, which are not"),
        (np.array([[1, 0]], np.float64), {}, "cannot be decoded: cannot identify image file"),
        (np.ones((2, 2, 3), np.uint16), {}, "has 16 bits a channel, of which"),
    ],
)  # fmt: skip
def test_depths_that_cannot_be_kept_are_refused(tmp_path, x, options, match):
    colours = {"photometric": "rgb"} if x.ndim == 3 else {}
    tiff(tmp_path, "a.tif", x, **colours)
    with pytest.raises(DataError, match=match) as raised:
        only(tmp_path, **options)
    assert f"'{tmp_path}/a.tif' (image 0) " in str(raised.value)
    assert "\n" not in str(raised.value)


def colours16(folder, name):
    x = RNG.integers(0, 2**16, (5, 4, 3)).astype(np.uint16)
    if name.endswith("ppm"):
        (folder / name).write_bytes(b"P6 4 5 65535\n" + x.astype(">u2").tobytes())
    else:
        (folder / name).write_bytes(png(x))
    return x


@pytest.mark.parametrize("name", ["a.png", "a.ppm"])
def test_colours_of_sixteen_bits_are_refused_or_cut_by_declaration(tmp_path, name):
    x = colours16(tmp_path, name)
    with pytest.raises(DataError, match="16 bits a channel, of which the decoder keeps 8: bits=8"):
        load(tmp_path)
    np.testing.assert_allclose(only(tmp_path, bits=8)[0], x / 257, atol=1)


def test_two_depths_in_one_folder_are_refused_and_both_files_named(tmp_path):
    save(tmp_path, "a.png", BYTES[0])
    save(tmp_path, "b.png", WORDS[0])
    match = r"b.png' \(image 1\) has 16-bit pixels, 'a.png' 8-bit ones: bits=8 takes the upper 8 of"
    with pytest.raises(DataError, match=match):
        load(tmp_path)
    with pytest.raises(DataError, match=match):
        only(tmp_path, size=2)
    got = only(tmp_path, bits=8)[..., 0]
    np.testing.assert_array_equal(got, [BYTES[0], WORDS[0] >> 8])
    save(tmp_path, "b.tiff", BYTES[0].astype(np.float32))
    (tmp_path / "b.png").unlink()
    with pytest.raises(DataError, match="b.tiff' .* has 32-bit pixels, 'a.png' 8-bit ones: part"):
        load(tmp_path)


def test_the_cache_holds_any_depth(tmp_path):
    for name, x in (("u2", WORDS), ("f4", BYTES.astype(np.float32))):
        for i in range(6):
            save(tmp_path / name, f"{i}.tiff", x[i])
        train = load(tmp_path / name).train
        got = cache.cached(train, [tmp_path / "cache"], {"name": name}, name)
        assert got.spec == train.spec
        np.testing.assert_array_equal(got.read(np.arange(6)).x[..., 0], x)


# ---- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["gif", "tiff", "webp", "png"])
def test_frames_are_refused_unless_it_is_said_which(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    pages(tmp_path, f"b.{suffix}", BYTES[1:4], **options)
    save(tmp_path, "a.png", BYTES[0])
    save(tmp_path, "c.png", BYTES[5])
    match = (
        rf"b.{suffix}' \(image 1\) holds 3 frames: frames='first' .*, frames='all' makes each an"
    )
    with pytest.raises(DataError, match=match):
        load(tmp_path)
    with pytest.raises(DataError, match=match):
        only(tmp_path, size=(5, 4))  # which opens the first file alone when it is loaded
    skipped = in_memory(load(tmp_path, on_bad="skip").train)
    np.testing.assert_array_equal(skipped.valid, [True, False, True])
    np.testing.assert_array_equal(only(tmp_path, frames="first")[..., 0], BYTES[[0, 1, 5]])
    for size in (None, (5, 4)):
        got = only(tmp_path, frames="all", size=size)
        np.testing.assert_array_equal(got[..., 0], BYTES[[0, 1, 2, 3, 5]])


def test_sixteen_bit_pages_in_any_order_with_labels(tmp_path):
    for name, frames in (("x", WORDS[:4]), ("y", WORDS[4:])):
        (tmp_path / name).mkdir()
        pages(tmp_path / name, "stack.tiff", frames)
    train = load(tmp_path, frames="all").train
    order = np.array([5, 0, 3, 4, 3])
    got = train.read(order)
    np.testing.assert_array_equal(got.x[..., 0], WORDS[order])
    np.testing.assert_array_equal(got.extras["label"], order >= 4)


def test_frames_of_one_file_stay_in_one_split(tmp_path):
    for i in range(20):
        pages(tmp_path, f"{i:02d}.tiff", [np.full((2, 2), 10 * i + k, np.uint8) for k in range(3)])
    dataset = load(tmp_path, frames="all", test_fraction=0.3)
    test = in_memory(dataset.test).x[:, 0, 0, 0]
    files = np.flatnonzero(ae.data.split_mask(20, 0.3))
    np.testing.assert_array_equal(test, (10 * files[:, None] + np.arange(3)).reshape(-1))
    assert len(dataset.train) + len(dataset.test) == 60
    with pytest.raises(ConfigError, match="overlap.*frames='first'"):
        load(tmp_path, frames="all", validation_fraction=0.2)


def test_a_page_of_another_size_is_named(tmp_path):
    pages(tmp_path, "a.tiff", [BYTES[0], BYTES[1][:3]])
    with pytest.raises(DataError, match=r"a.tiff' \(image 0, frame 1\) is 3x4; expected 5x4"):
        only(tmp_path, frames="all")


# ---- alpha, palettes, CMYK, orientation ----------------------------------------------------------

ALPHA = np.dstack([RNG.integers(0, 256, (5, 4, 3), np.uint8), np.full((5, 4), 255, np.uint8)])
HOLES = ALPHA.copy()
HOLES[2, 1:, 3] = [0, 128, 254]


def test_transparent_pixels_are_kept_or_given_up_by_declaration(tmp_path):
    np.testing.assert_array_equal(only(save(tmp_path, "a.png", ALPHA))[0], ALPHA[..., :3])
    save(tmp_path, "a.png", HOLES)
    match = r"a.png' \(image 0\) has transparent pixels: channels=4 keeps them, channels=3 takes"
    with pytest.raises(DataError, match=match):
        only(tmp_path)
    np.testing.assert_array_equal(only(tmp_path, channels=4)[0], HOLES)
    np.testing.assert_array_equal(only(tmp_path, channels=3)[0], HOLES[..., :3])


def test_grey_levels_with_alpha(tmp_path):
    grey = HOLES[..., [0, 3]]
    save(tmp_path, "a.png", np.dstack([grey[..., 0], np.full((5, 4), 255, np.uint8)]))
    np.testing.assert_array_equal(only(tmp_path)[0], grey[..., :1])
    save(tmp_path, "a.png", grey)
    with pytest.raises(DataError, match="transparent pixels: channels=4 keeps them, channels=1"):
        only(tmp_path)
    np.testing.assert_array_equal(only(tmp_path, channels=1)[0], grey[..., :1])


@pytest.mark.parametrize("transparency", [1, bytes([255, 7])])
def test_palettes_with_transparent_colours(tmp_path, transparency):
    image = PIL.Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    colours = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)[[[0, 1], [1, 0]]]
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(only(tmp_path)[0], colours)
    image.save(tmp_path / "a.png", transparency=transparency)
    with pytest.raises(DataError, match="has transparent pixels"):
        only(tmp_path)
    np.testing.assert_array_equal(only(tmp_path, channels=3)[0], colours)
    alpha = 0 if transparency == 1 else 7
    np.testing.assert_array_equal(
        only(tmp_path, channels=4)[0, ..., 3], [[255, alpha], [alpha, 255]]
    )


def test_bilevel_and_cmyk(tmp_path):
    bits = BYTES[0] > 127
    PIL.Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(only(tmp_path)[0, ..., 0], np.where(bits, 255, 0))
    (tmp_path / "a.png").unlink()
    ink = RNG.integers(0, 256, (5, 4, 4), np.uint8)
    PIL.Image.fromarray(ink, "CMYK").save(tmp_path / "a.tiff")
    plain = (255.0 - ink[..., :3]) * (255.0 - ink[..., 3:]) / 255
    np.testing.assert_allclose(only(tmp_path)[0], plain, atol=1.5)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("words", "tiff"), ("words", "png"), ("grey", "tiff"), ("grey", "png"), ("grey", "jpg")]
    + [("colour", suffix) for suffix in ("tiff", "png", "jpg", "webp")],
)
def test_every_format_is_turned_upright(tmp_path, suffix, kind):
    x = {"colour": np.repeat(BYTES[0][..., None], 3, -1), "grey": BYTES[0], "words": WORDS[0]}[kind]
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if suffix == "webp" else {}
    save(tmp_path, f"a.{suffix}", x, exif=exif, **options)
    save(tmp_path, f"b.{suffix}", np.rot90(x, -1).copy(), **options)
    a, b = only(tmp_path)
    np.testing.assert_allclose(a, np.rot90(x, -1).reshape(a.shape), atol=90 * (suffix == "jpg"))
    assert a.shape == b.shape == (4, 5, a.shape[-1])


@pytest.mark.slow
def test_a_run_on_sixteen_bits_counts_what_is_skipped(tmp_path):
    for i in range(24):
        save(tmp_path, f"{i:02d}.png", WORDS[i % 6])
    (tmp_path / "05.png").write_bytes(b"")
    data = load(tmp_path, on_bad="skip")
    run = ae.fit(small.vae(), data, steps=2, batch_size=8, progress=False)
    assert run.summary["skipped_records"] == 1
    assert run.summary["preprocessing"] == {"name": "scale", "low": 0.0, "high": 65535.0}
    again = run.reconstruct(WORDS[..., None])
    assert 1_000 < np.abs(again).mean() < 65_535
