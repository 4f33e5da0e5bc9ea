"""Made-up data: the same for an index at all times, of the shape, dtype and factors promised."""

import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.errors import ConfigError


@pytest.mark.parametrize(
    "dtype", ["uint8", "bool", "int32", "int8", "uint16", "float16", "float64"]
)
def test_noise_of_every_dtype(dtype):
    dataset = ae.data.load("synthetic:5x3", size=3000, dtype=dtype)
    x = in_memory(dataset.train).x
    assert (x.shape, x.dtype) == ((3000, 5, 3), np.dtype(dtype))
    again = ae.data.synthetic((5, 3), dtype=dtype).train.read(np.arange(3000)).x
    np.testing.assert_array_equal(x, again)
    if x.dtype.kind == "f":
        assert stats.kstest(x.ravel().astype(float), "norm").statistic < 0.03
    else:
        values = {"uint8": 256, "bool": 2}.get(dtype, 128)
        np.testing.assert_array_equal(np.unique(x), np.arange(values))


def test_noise_is_another_for_another_seed_and_split():
    one, two = (ae.data.synthetic(9, size=50, test_size=50, seed=s) for s in (0, 1))
    assert (in_memory(one.train).x != in_memory(two.train).x).mean() > 0.9
    assert (in_memory(one.train).x != in_memory(one.test).x).mean() > 0.9


def test_labels_are_spread_over_the_classes_and_the_same_for_an_index():
    train = ae.data.synthetic("2x2", size=4000, classes=5).train
    label = in_memory(train).extras["label"]
    assert train.spec.extras["label"].dtype == label.dtype == np.int32
    assert stats.chisquare(np.bincount(label, minlength=5)).pvalue > 1e-6
    np.testing.assert_array_equal(train.read(np.array([7, 7, 3])).extras["label"], label[[7, 7, 3]])


def test_the_table_of_large_examples_is_small():
    train = ae.data.synthetic("512x512x3", dtype="float32").train
    assert train.table.nbytes <= 2**24
    assert train.read(np.array([5])).x.shape == (1, 512, 512, 3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"shape": "28,28"}, "shape must be like '28x28x1' or .*, got '28,28'"),
        ({"shape": (0, 3)}, r"got \(0, 3\)"),
        ({"shape": ()}, r"got \(\)"),
        ({"dtype": "uint9"}, "dtype must be that of a number, e.g. 'uint8', got 'uint9'"),
        ({"dtype": "complex64"}, "got 'complex64'"),
        ({"size": 0}, "size must be a positive whole number, got 0"),
        ({"test_size": -1}, "test_size must be a positive whole number, got -1"),
    ],
)
def test_wrong_noise(options, match):
    with pytest.raises(ConfigError, match=match):
        ae.data.synthetic(**options)


# ---- factors -------------------------------------------------------------------------------------

SIZES = (3, 4, 5, 6, 7)


@pytest.fixture(scope="module")
def sprites():
    return in_memory(ae.data.factors(SIZES, resolution=32, test_fraction=0).train)


def test_every_combination_of_factors_once_and_no_image_twice(sprites):
    assert sprites.x.shape == (np.prod(SIZES), 32, 32, 1)
    expected = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), -1).reshape(-1, 5)
    np.testing.assert_array_equal(sprites.extras["factors"], expected)
    assert sprites.extras["factors"].dtype == np.int32


def test_no_two_images_are_the_same():
    train = ae.data.factors((3, 6, 10, 1, 1), test_fraction=0).train
    images = in_memory(train).x.reshape(180, -1)
    assert len(np.unique(images, axis=0)) == 180
    np.testing.assert_array_equal(np.unique(images), [0, 1])


def test_the_centre_of_mass_moves_with_the_position(sprites):
    x, codes = sprites.x[..., 0].astype(float), sprites.extras["factors"]
    mass = x.sum((1, 2))
    column, row = (x.sum(axis) @ np.arange(32) / mass for axis in (1, 2))
    still = (codes[:, 3] == 0) & (codes[:, 4] == 0)
    origin = dict(zip(map(tuple, codes[still, :3]), zip(column[still], row[still])))  # noqa: B905
    at = np.array([origin[tuple(code)] for code in codes[:, :3]])
    np.testing.assert_allclose(column - at[:, 0], codes[:, 3] * 3, atol=1e-9)  # 16 // (6 - 1)
    np.testing.assert_allclose(row - at[:, 1], codes[:, 4] * 2, atol=1e-9)  # 16 // (7 - 1)


def test_the_areas_are_those_of_the_shapes():
    train = ae.data.factors((3, 5, 8, 1, 1), resolution=512, test_fraction=0).train
    got = in_memory(train)
    shape, scale, _, _, _ = got.extras["factors"].T
    heart = 3.66197 / 1.43**2  # its radius integrated numerically in polar coordinates
    expected = np.array([2, np.pi / 2, heart])[shape] * np.linspace(0.5, 1, 5)[scale] ** 2
    area = got.x.sum((1, 2, 3)) / 128**2
    np.testing.assert_allclose(area, expected, rtol=0.02)


def test_a_turned_ellipse_has_its_axis_there():
    train = ae.data.factors((2, 1, 6, 1, 1), resolution=128, test_fraction=0).train
    got = in_memory(train)
    for image, code in zip(got.x[..., 0], got.extras["factors"], strict=True):
        if code[0] == 1:
            points = np.argwhere(image)[:, ::-1]
            axis = np.linalg.eigh(np.cov(points.T))[1][:, 1]
            angle = np.arctan2(axis[1], axis[0]) % np.pi
            expected = np.pi / 2 * code[2] / 6
            assert abs((angle - expected + 1) % np.pi - 1) < 0.02


def test_the_defaults_of_the_factors():
    dataset = ae.data.load("factors")
    assert len(dataset.train) + len(dataset.test) == 46_080 == 3 * 6 * 10 * 16 * 16
    assert dataset.train.spec.x.shape == (64, 64, 1)
    assert ae.spec_of(ae.data.factors((3, 2, 1, 2, 2))).kind == "binary"


@pytest.mark.parametrize(
    "options",
    [{"sizes": (3, 2)}, {"sizes": (4, 1, 1, 1, 1)}, {"sizes": (1, 0, 1, 1, 1)}, {"resolution": 63},
     {"sizes": (1, 1, 1, 33, 1)}, {"sizes": "3x3"}],
)  # fmt: skip
def test_wrong_factors(options):
    with pytest.raises(ConfigError, match="got"):
        ae.data.factors(**options)


# ---- waves ---------------------------------------------------------------------------------------


def test_waves_are_their_formula():
    train = ae.data.waves(64, 3, 2, noise=0.0, size=50).train
    got = in_memory(train)
    time = np.arange(64)
    for x, known in zip(got.x, got.extras["factors"].astype(float), strict=True):
        frequency, phase, amplitude = known[:6].reshape(3, 2)
        angle = 2 * np.pi * frequency[:, None] * time / 64 + phase[:, None]
        expected = (amplitude[:, None] * np.sin(angle)).T @ train.mixing
        np.testing.assert_allclose(x, expected, atol=1e-4)
        assert known[6] == 0


def test_the_factors_of_waves_are_uniform_and_the_noise_is_white():
    noisy, clean = (ae.data.waves(80, 2, 1, noise=n, size=4_000, seed=3).train for n in (0.5, 0.0))
    one, two = in_memory(noisy), in_memory(clean)
    factors = one.extras["factors"].astype(float)
    np.testing.assert_array_equal(factors[:, :3], two.extras["factors"][:, :3])
    for values, low, high in zip(factors.T, (1, 0, 0.5, 0), (10, 2 * np.pi, 1.5, 1), strict=True):
        assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 1e-3
    noise = (one.x - two.x) / factors[:, 3:, None]
    assert stats.kstest(noise[::40].ravel(), "norm").pvalue > 1e-3
    np.testing.assert_allclose(noise.std((1, 2)).mean(), 1, atol=0.01)
    neighbours = (noise[:, 1:] * noise[:, :-1]).mean()
    assert abs(neighbours) < 0.01
    assert len(np.unique(factors)) > 15_990


def test_waves_of_other_seeds_and_splits_differ():
    one, two = (ae.data.waves(seed=s, size=100, test_size=100) for s in (0, 1))
    assert one.kind == "series"
    first = [in_memory(s).extras["factors"] for s in (one.train, one.test, two.train)]
    assert len(np.unique(np.concatenate(first), axis=0)) == 300


@pytest.mark.parametrize("options", [{"length": 15}, {"noise": -1}, {"size": 0}, {"channels": 1.5}])
def test_wrong_waves(options):
    with pytest.raises(ConfigError, match="got"):
        ae.data.waves(**options)
