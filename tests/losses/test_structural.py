"""Structural similarity against its published formulas and scikit-image."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from ae_jax import losses, recipes, terms
from ae_jax.losses import structural
from tests.losses.properties import Case, MaskedLossProperties, gradients, value
from tests.reference import structural as reference

SMALL = {"data_range": 1.0, "window_size": 5}
TWO_SCALES = {**SMALL, "weights": (0.4, 0.6)}


def images(height, width, channels):
    def draw(rng):
        x = rng.random((height, width, channels))
        return x, 0.6 * x + 0.4 * rng.random(x.shape)

    return draw


def extreme_images(side):
    rng = np.random.default_rng(3)
    shape = (side, side, 1)
    flat, noise = np.ones(shape), rng.random(shape)
    half = np.where(np.arange(side)[:, None, None] < side // 2, 0.0, flat)
    board = np.indices(shape)[:2].sum(0) % 2.0
    yield 0 * flat, 0 * flat
    yield 0.2 * flat, 0.8 * flat
    yield flat, noise
    yield noise, noise
    yield half, 1 - half
    yield board, 1 - board
    yield 1e-6 * noise, 1e-6 * board
    yield 100 + noise, 100 + 0.9 * noise + 0.1 * board
    yield 1e4 * noise, noise


CASES = [
    Case(
        "ssim_loss",
        functools.partial(structural.ssim_loss, **SMALL),
        functools.partial(reference.ssim_loss, **SMALL),
        images(8, 7, 2),
        lambda: extreme_images(9),
    ),
    Case(
        "ssim_loss(defaults)",
        functools.partial(structural.ssim_loss, data_range=1.0),
        functools.partial(reference.ssim_loss, data_range=1.0),
        images(13, 12, 1),
        lambda: extreme_images(16),
    ),
    Case(
        "ms_ssim_loss",
        functools.partial(structural.ms_ssim_loss, **TWO_SCALES),
        functools.partial(reference.ms_ssim_loss, **TWO_SCALES),
        images(13, 11, 2),
        lambda: extreme_images(12),
    ),
]


class TestProperties(MaskedLossProperties):
    cases = CASES


@pytest.mark.parametrize("shape", [(11, 11, 1), (32, 27, 1), (20, 40, 3)])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_equals_scikit_image(shape, data_range):
    # Its mean leaves out the border of half a window, which is to say windows that leave the image.
    x, y = (data_range * image for image in images(*shape)(np.random.default_rng(0)))
    expected = structural_similarity(
        x,
        y,
        data_range=data_range,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    similarity = functools.partial(structural.ssim, data_range=data_range)
    np.testing.assert_allclose(value(similarity, np.float32([x, y])), expected, rtol=1e-5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(value(similarity, (x, y)), expected, rtol=1e-10)


def test_ms_ssim_equals_the_published_five_scales():
    x, y = images(177, 190, 2)(np.random.default_rng(0))
    loss, _ = reference.ms_ssim_loss(x, y, data_range=1.0)
    similarity = functools.partial(structural.ms_ssim, data_range=1.0)
    np.testing.assert_allclose(value(similarity, np.float32([x, y])), 1 - loss, rtol=1e-5)


@pytest.mark.parametrize(
    ("similarity", "loss", "options"),
    [
        (structural.ssim, structural.ssim_loss, SMALL),
        (structural.ms_ssim, structural.ms_ssim_loss, TWO_SCALES),
    ],
)
def test_similarities_are_one_less_the_losses_and_one_for_equal_images(similarity, loss, options):
    x, y = np.float32(images(12, 12, 1)(np.random.default_rng(0)))
    similarity, loss = (functools.partial(f, **options) for f in (similarity, loss))
    np.testing.assert_allclose(value(similarity, (x, y)), 1 - value(loss, (x, y)), rtol=1e-6)
    assert value(similarity, (x, x)) == 1
    assert value(loss, (x, x)) == pytest.approx(0, abs=1e-15)  # compilers add in any order


def test_loss_of_nearly_equal_images_does_not_cancel():
    x = np.random.default_rng(0).random((16, 16, 1))
    y = x + 1e-4 * np.random.default_rng(1).normal(size=x.shape)
    loss = functools.partial(structural.ssim_loss, data_range=1.0)
    with jax.enable_x64(True):
        expected = value(loss, (x, y))
    # 1e-4 of noise in pixels near one is known to 6e-4 of itself in float32.
    np.testing.assert_allclose(value(loss, np.float32([x, y])), expected, rtol=2e-3)


def test_anticorrelated_images_are_clamped_with_zero_gradient():
    board = np.float32(np.indices((12, 12, 1))[:2].sum(0) % 2)
    loss = functools.partial(structural.ms_ssim_loss, **TWO_SCALES)
    assert value(loss, (board, 1 - board)) == 1
    assert all(not grad.any() for grad in gradients(loss, (board, 1 - board)))


@pytest.mark.parametrize(
    ("loss", "options"),
    [(structural.ssim_loss, SMALL), (structural.ms_ssim_loss, TWO_SCALES)],
)
def test_gradients_are_finite_on_flat_images_and_zero_on_equal_ones(loss, options):
    loss = functools.partial(loss, **options)
    flat = np.full((12, 12, 1), 0.5, np.float32)
    noise = np.float32(np.random.default_rng(0).random(flat.shape))
    assert all(np.isfinite(grad).all() for grad in gradients(loss, (flat, noise)))
    for image in (flat, noise, 0 * flat):
        for grad in gradients(loss, (image, image)):
            np.testing.assert_allclose(grad, np.zeros_like(grad), atol=1e-6)


@pytest.mark.parametrize("scales", [1, 2, 5])
def test_the_smallest_side_is_stated_and_enough(scales):
    """Each halving leaves an odd last row out, so that 161 = 16 · 10 + 1 is not enough for five."""
    weights = structural.MS_SSIM_WEIGHTS[:scales]
    smallest = 11 * 2 ** (scales - 1)
    shape = lambda side: jax.ShapeDtypeStruct((side, smallest + 3, 1), np.float32)
    loss = functools.partial(structural.ms_ssim_loss, data_range=1.0, weights=weights)
    assert jax.eval_shape(loss, shape(smallest), shape(smallest)).shape == ()
    with pytest.raises(ValueError, match=f"sides of at least {smallest}, got"):
        jax.eval_shape(loss, shape(smallest - 1), shape(smallest - 1))


@pytest.mark.parametrize(
    "documented",
    [losses.ms_ssim_loss, terms.ms_ssim, recipes.ms_ssim_vae],
    ids=lambda f: f.__name__,
)
def test_the_smallest_side_for_five_scales_is_documented(documented):
    assert re.findall(r"sides\s+of\s+(?:at\s+least\s+)?(\d+)", documented.__doc__) == ["176"]


def test_images_too_small_are_refused_with_the_smallest_side():
    small = jnp.zeros((28, 30, 1))
    with pytest.raises(ValueError, match=r"5 scale.*at least 176, got .* \(28, 30, 1\)"):
        structural.ms_ssim_loss(small, small, data_range=1.0)
    with pytest.raises(ValueError, match="at least 44"):
        structural.ms_ssim_loss(small, small, data_range=1.0, weights=(0.3, 0.3, 0.4))
    enough = functools.partial(structural.ms_ssim_loss, data_range=1.0, weights=(0.5, 0.5))
    assert value(enough, (small, small)) == 0
    digits = jnp.zeros((8, 8, 1))
    with pytest.raises(ValueError, match="window of 11 need sides of at least 11"):
        structural.ssim_loss(digits, digits, data_range=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_range": 0.0}, "data_range must be a positive number, got 0.0"),
        ({"data_range": 1.0, "sigma": -1.5}, "sigma must be a positive number, got -1.5"),
        ({"data_range": 1.0, "window_size": 0}, "window_size must be a positive whole number"),
        ({"data_range": 1.0, "k2": 0.0}, "k2 must be a positive number, got 0.0"),
        ({"data_range": 1.0, "weights": ()}, "weights must hold one number per scale"),
        ({"data_range": 1.0, "weights": (0.5, -0.5)}, r"weights\[1\] must not be negative"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        structural.ms_ssim_loss(jnp.zeros((24, 24, 1)), jnp.zeros((24, 24, 1)), **options)


def test_an_image_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"x must have rank 3, got shape \(16, 16\)"):
        structural.ssim_loss(jnp.zeros((16, 16)), jnp.zeros((16, 16)), data_range=1.0)


def test_local_moments_do_not_use_the_narrow_default_matmul_precision():
    # On CPU both are the same: only the program shows what accelerators will do.
    image = jnp.zeros((16, 16, 1))
    loss = functools.partial(structural.ssim_loss, data_range=1.0)
    program = str(jax.make_jaxpr(jax.grad(loss))(image, image))
    products = program.count("dot_general[")
    assert products == program.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") > 0
