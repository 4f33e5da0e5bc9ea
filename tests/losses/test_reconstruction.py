"""Reconstruction losses against NumPy, at the edges of their range, and behind masks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.losses import reconstruction
from tests import fast
from tests.losses.properties import Case, MaskedLossProperties
from tests.reference import reconstruction as reference

SHAPE = (4, 3, 2)


def normals(rng):
    return rng.normal(size=SHAPE), rng.normal(size=SHAPE)


def logits_and_targets(rng):
    return 3 * rng.normal(size=SHAPE), rng.random(SHAPE)


def wide(largest):
    """Pairs over many orders of magnitude, with zeros and equal entries."""
    scale = np.array([0.0, 1e-10, 1e-3, 1.0, 1e3, largest])
    first = np.concatenate([scale, -scale, scale])
    yield first, np.concatenate([scale[::-1], scale, scale])
    yield first, np.zeros_like(first)


def extreme_logits():
    logits = np.array([-1e4, -88.0, -20.0, -1e-6, 0.0, 1e-6, 20.0, 88.0, 1e4])
    for target in (0.0, 0.3, 1.0):
        yield logits, np.full_like(logits, target)


def extreme_directions():
    x = np.array([3.0, -4.0, 12.0])
    for scale in (1e-30, 1e-10, 1.0, 1e10, 1e30):
        yield x, scale * x
        yield scale * x, -x
        yield scale * x, np.array([4.0, 3.0, 0.0])
    yield x, 0 * x
    yield 0 * x, x
    yield 0 * x, 0 * x


CASES = [
    Case(
        "squared_error",
        reconstruction.squared_error,
        reference.squared_error,
        normals,
        lambda: wide(1e15),
    ),
    Case(
        "absolute_error",
        reconstruction.absolute_error,
        reference.absolute_error,
        normals,
        lambda: wide(1e30),
    ),
    *(
        Case(
            f"huber({delta})",
            functools.partial(reconstruction.huber, delta=delta),
            functools.partial(reference.huber, delta=delta),
            normals,
            lambda: wide(1e30),
        )
        for delta in (0.25, 1.0, 10.0)
    ),
    Case(
        "binary_cross_entropy",
        reconstruction.binary_cross_entropy,
        reference.binary_cross_entropy,
        logits_and_targets,
        extreme_logits,
    ),
    Case(
        "cosine_distance",
        reconstruction.cosine_distance,
        reference.cosine_distance,
        normals,
        extreme_directions,
    ),
]


class TestProperties(MaskedLossProperties):
    cases = CASES


@pytest.mark.parametrize("logit", [-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4])
def test_gradient_of_binary_cross_entropy_is_the_probability_less_the_target(logit):
    grad = jax.grad(reconstruction.binary_cross_entropy)(jnp.float32(logit), jnp.float32(0.25))
    np.testing.assert_allclose(grad, 1 / (1 + np.exp(-np.clip(logit, -700, 700))) - 0.25, rtol=1e-6)


@pytest.mark.parametrize("logit", [-3.0, 0.0, 2.0])
def test_binary_cross_entropy_is_differentiable_in_the_target_and_twice(logit):
    """Of max(l, 0) - l x + log1p(exp(-|l|)): -l by the target, σ(1 - σ) twice by the logit."""
    loss, z, x = reconstruction.binary_cross_entropy, jnp.float32(logit), jnp.float32(0.25)
    probability = 1 / (1 + np.exp(-logit))
    by_target = jax.grad(loss, argnums=1)
    np.testing.assert_allclose(by_target(z, x), -logit, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(by_target)(z, x), -1.0, rtol=1e-6)
    curvature = probability * (1 - probability)
    np.testing.assert_allclose(jax.grad(jax.grad(loss))(z, x), curvature, rtol=1e-5)
    np.testing.assert_allclose(jax.jacfwd(jax.grad(loss))(z, x), curvature, rtol=1e-5)


def test_gradient_of_binary_cross_entropy_keeps_two_arrays():
    """By l and by x; of the terms' own derivatives five, each of which computes the logits anew."""
    loss = reconstruction.binary_cross_entropy
    _, pull_back = jax.vjp(loss, jnp.zeros((8, 16)), jnp.ones((8, 16)))
    assert [leaf.size for leaf in jax.tree.leaves(pull_back) if leaf.size > 1] == [128, 128]


@pytest.mark.parametrize(
    "loss", [reconstruction.absolute_error, reconstruction.huber, reconstruction.squared_error]
)
def test_equal_entries_have_no_gradient(loss):
    assert jax.grad(loss)(jnp.float32(2.0), jnp.float32(2.0)) == 0


@pytest.mark.parametrize("delta", [1e6, 1e8, 1e20, 1e30])
def test_huber_with_a_large_delta_is_half_the_squared_error(delta):
    """Its gradient was e - δ + δ, and so 0 for e ≤ δ / 2²⁴."""
    errors = np.float32([-3e3, -0.3, 0.0, 1e-3, 1.0])
    loss = functools.partial(reconstruction.huber, delta=delta)
    value, slope = fast.jit(jax.value_and_grad(loss))(errors, np.zeros_like(errors))
    np.testing.assert_allclose(value, 0.5 * np.sum(errors.astype(float) ** 2), rtol=1e-6)
    np.testing.assert_array_equal(slope, errors)


def test_bytes_and_booleans_are_targets_too():
    image = np.array([0, 128, 255], np.uint8)
    assert reconstruction.squared_error(image, jnp.zeros(3)) == 128**2 + 255**2
    bits = np.array([False, True])
    np.testing.assert_allclose(
        reconstruction.binary_cross_entropy(jnp.zeros(2), bits), 2 * np.log(2), rtol=1e-6
    )


def test_cosine_distance_of_nearly_parallel_vectors_does_not_cancel():
    angle = 1e-4
    x, turned = np.array([1.0, 0.0]), np.array([np.cos(angle), np.sin(angle)])
    distance = reconstruction.cosine_distance(*np.float32([x, turned]))
    np.testing.assert_allclose(distance, 1 - np.cos(angle), rtol=1e-3)


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan")])
def test_huber_refuses_a_delta_that_is_not_positive(delta):
    with pytest.raises(ValueError, match=f"delta must be a positive number, got {delta}"):
        reconstruction.huber(jnp.zeros(2), jnp.zeros(2), delta=delta)
