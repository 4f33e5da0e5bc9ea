"""Nearest codes, the gradient past them, and the two losses, against NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.losses import quantization
from tests import fast
from tests.losses.properties import Case
from tests.losses.row_properties import FusedProperties
from tests.reference import quantization as reference

SHAPE = (2, 3, 4)
RNG = np.random.default_rng(0)
FIXED = np.linspace(-2, 2, 24, dtype=np.float32).reshape(SHAPE)


def vectors(rng):
    return (rng.normal(size=SHAPE),)


def extremes():
    return [(np.zeros(SHAPE),), (FIXED,), (np.full(SHAPE, 1e15),), (FIXED + 1e-6,)]


class TestProperties(FusedProperties):
    cases = (
        Case(
            "commitment",
            functools.partial(quantization.commitment, codes=FIXED),
            lambda features: reference.commitment(features, FIXED),
            vectors,
            extremes,
        ),
        Case(
            "codebook",
            functools.partial(quantization.codebook, FIXED),
            lambda codes: reference.commitment(codes, FIXED),
            vectors,
            extremes,
        ),
    )


def test_each_loss_moves_one_side_alone():
    features, codes = RNG.normal(size=(2, *SHAPE))
    pulls = lambda loss: jax.grad(loss, argnums=(0, 1))(jnp.asarray(features), jnp.asarray(codes))
    to_features, to_codes = pulls(quantization.commitment)
    np.testing.assert_allclose(to_features, 2 * (features - codes), rtol=1e-5)
    assert not to_codes.any()
    to_features, to_codes = pulls(quantization.codebook)
    np.testing.assert_allclose(to_codes, 2 * (codes - features), rtol=1e-5)
    assert not to_features.any()


@pytest.mark.parametrize("positions", [(), (5,), (3, 4)])
@pytest.mark.parametrize(("codes", "dimension"), [(1, 3), (7, 1), (64, 16)])
def test_the_nearest_code_is_that_of_all_distances(positions, codes, dimension):
    features = RNG.normal(size=(*positions, dimension)).astype(np.float32)
    codebook = RNG.normal(size=(codes, dimension)).astype(np.float32)
    got = quantization.nearest_codes(features, codebook)
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, reference.nearest(features, codebook))


def test_ties_go_to_the_lower_number():
    codebook = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    features = jnp.array([[0.0, 2.0], [0.0, 0.0], [-0.5, -0.5], [0.5, 0.5]])
    assert quantization.nearest_codes(features, codebook).tolist() == [1, 0, 3, 0]


def test_codes_in_value_and_features_in_gradient():
    features, codes = np.float32(RNG.normal(size=(2, *SHAPE)) * [[[[1]]], [[[1e3]]]])
    through = fast.jit(quantization.straight_through)(features, codes)
    np.testing.assert_array_equal(through, codes)
    bent = lambda features, codes: jnp.sum(jnp.sin(quantization.straight_through(features, codes)))
    to_features, to_codes = jax.grad(bent, argnums=(0, 1))(features, codes)
    np.testing.assert_allclose(to_features, np.cos(codes), rtol=1e-4, atol=1e-5)
    assert not to_codes.any()


def test_the_gradient_is_turned_back_by_the_rotation_of_the_features_to_their_codes():
    features, codes, weights = RNG.normal(size=(3, 5, 4)).astype(np.float32)
    through = lambda f, c: quantization.rotate_through(f, c)
    pulled = fast.jit(jax.grad(lambda f, c: jnp.sum(weights * through(f, c)), argnums=(0, 1)))
    np.testing.assert_array_equal(fast.jit(through)(features, codes), codes)  # as straight through
    to_features, to_codes = pulled(features, codes)
    for found, e, q, w in zip(to_features, features, codes, weights, strict=True):
        turn = reference.rotation(e, q)
        np.testing.assert_allclose(turn @ e, q, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found, turn.T @ w, rtol=1e-4, atol=1e-5)
    assert not to_codes.any()


def test_where_there_is_no_rotation_the_gradient_is_finite():
    features = jnp.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    codes = jnp.array([[1.0, 1.0], [0.0, 0.0], [-1.0, -2.0]])
    value, pulled = quantization.rotate_through(features, codes), jnp.array([3.0, 4.0])
    pull = jax.grad(lambda f: jnp.sum(pulled * quantization.rotate_through(f, codes)))(features)
    np.testing.assert_array_equal(value, codes)
    np.testing.assert_array_equal(pull[:2], [[3, 4], [3, 4]])  # straight through
    assert np.isfinite(pull).all()


@pytest.mark.parametrize(
    ("function", "shapes", "message"),
    [
        (quantization.nearest_codes, ((5, 3), (4, 2)), r"features \(5, 3\) and codebook \(4, 2\)"),
        (
            quantization.nearest_codes,
            ((5, 3), (3,)),
            r"codebook must have rank 2, got shape \(3,\)",
        ),
        (quantization.nearest_codes, ((), (4, 1)), r"features \(\) and codebook \(4, 1\)"),
        (quantization.straight_through, ((5, 3), (5, 2)), r"features \(5, 3\), codes \(5, 2\)"),
        (quantization.rotate_through, ((5, 3), (5, 2)), r"features \(5, 3\), codes \(5, 2\)"),
        (quantization.commitment, ((5, 3), (3,)), r"features \(5, 3\), codes \(3,\)"),
        (quantization.codebook, ((5, 3), (3,)), r"shape, got .*\(5, 3\)"),
    ],
)
def test_shapes_that_do_not_meet_are_both_named(function, shapes, message):
    with pytest.raises(ValueError, match=message):
        function(*map(jnp.zeros, shapes))
