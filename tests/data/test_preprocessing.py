"""Preprocessing: the maps, their inverses, and their errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import registry
from ae_jax.data import preprocessing

RNG = np.random.default_rng(0)
MEAN, STD = (0.5, -3.0, 100.0), (0.1, 2.0, 30.0)
TABLE = (RNG.normal(size=(50, 3)) * STD + MEAN).astype(np.float32)
IMAGES = RNG.integers(0, 256, (5, 4, 4, 1)).astype(np.uint8)

CASES = [
    pytest.param(preprocessing.none(), TABLE, TABLE, id="none"),
    pytest.param(preprocessing.scale(0, 255), IMAGES, IMAGES / 255.0, id="scale"),
    pytest.param(preprocessing.scale(-2.0, 2.0), TABLE, (TABLE + 2.0) / 4, id="scale-real"),
    pytest.param(
        preprocessing.standardise(MEAN, STD), TABLE, (TABLE - MEAN) / np.array(STD), id="features"
    ),
    pytest.param(preprocessing.standardise(3.0, 2.0), TABLE, (TABLE - 3.0) / 2, id="all"),
]


@pytest.mark.parametrize(("preprocess", "x", "expected"), CASES)
def test_the_map_and_its_inverse(preprocess, x, expected):
    y = jax.jit(preprocess.apply)(x)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    back = preprocess.invert(y)
    assert back.dtype == jnp.float32
    np.testing.assert_allclose(back, x, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("preprocess", "x", "expected"), CASES)
def test_one_example_is_mapped_as_it_is_in_a_batch(preprocess, x, expected):
    np.testing.assert_allclose(preprocess.apply(x[1]), preprocess.apply(x)[1], rtol=1e-6)


def test_uint8_does_not_wrap_around():
    x = np.array([[0, 16]], np.uint8)
    np.testing.assert_allclose(preprocessing.scale(10, 20).apply(x), [[-1.0, 0.6]], rtol=1e-6)


def test_standardised_data_have_mean_zero_and_deviation_one():
    y = np.asarray(preprocessing.standardise(TABLE.mean(0), TABLE.std(0)).apply(TABLE))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, float("nan"))])
def test_a_range_without_width_is_refused(low, high):
    match = f"scale needs high above low, got low={low}, high={high}"
    with pytest.raises(ae.errors.ConfigError, match=match):
        preprocessing.scale(low, high)


@pytest.mark.parametrize("std", [0.0, -1.0, (1.0, 0.0), float("nan")])
def test_a_deviation_that_is_not_positive_is_refused(std):
    with pytest.raises(ae.errors.ConfigError, match="standardise needs std above zero, got"):
        preprocessing.standardise(0.0, std)


def test_the_registry_takes_preprocessing_only():
    assert registry.PREPROCESSING.build("none").node.name == "none"
    with pytest.raises(ae.errors.PartError, match="expected a preprocessing, got Bottleneck"):
        registry.PREPROCESSING.build(ae.bottlenecks.identity(2))
