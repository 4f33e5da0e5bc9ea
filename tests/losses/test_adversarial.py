"""Losses of games against SciPy, and the random parts against their distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import losses
from ae_jax.losses import adversarial, density_ratio
from tests.losses.properties import Case, LossProperties
from tests.reference import adversarial as reference

EDGES = np.array([-1e4, -88.0, -1.0, -1e-6, 0.0, 1e-6, 1.0, 88.0, 1e4])


def logits(count, shape=(3, 2)):
    return lambda rng: tuple(3 * rng.normal(size=shape) for _ in range(count))


def extreme_logits(count):
    return lambda: [(EDGES, EDGES[::-1])[:count], (EDGES, EDGES)[:count]]


def extreme_classes(count):
    pairs = [np.array(pair) for pair in ((1e4, -1e4), (-1e4, 1e4), (0.0, 0.0), (1e4, 1e4))]
    return lambda: [(pair, other)[:count] for pair in pairs for other in pairs]


def case(name, inputs, extremes, oracle=None):
    oracle = oracle or getattr(reference, name)
    return Case(name, getattr(losses, name), oracle, inputs, extremes)


class TestProperties(LossProperties):
    cases = (
        *(
            case(name, logits(2), extreme_logits(2))
            for name in (
                "non_saturating_discriminator",
                "hinge_discriminator",
                "least_squares_discriminator",
                "wasserstein_critic",
            )
        ),
        *(
            case(name, logits(1), extreme_logits(1))
            for name in (
                "non_saturating_generator",
                "hinge_generator",
                "least_squares_generator",
            )
        ),
        case("wasserstein_generator", logits(1), extreme_logits(1), reference.hinge_generator),
        case("density_ratio_total_correlation", logits(1, (2,)), extreme_classes(1)),
        case("density_ratio_discriminator", logits(2, (2,)), extreme_classes(2)),
    )


@pytest.mark.parametrize("logit", EDGES)
def test_the_generator_keeps_its_gradient_where_the_discriminator_is_sure(logit):
    grad = jax.grad(adversarial.non_saturating_generator)(jnp.float32(logit))
    np.testing.assert_allclose(
        grad, -1 / (1 + np.exp(np.clip(logit, -700, 80))), rtol=1e-5, atol=1e-30
    )


def test_the_best_discriminator_gives_the_total_correlation():
    """For a bivariate Gaussian the density ratio, and with it the answer, is known."""
    correlation, draws = 0.6, 100_000
    covariance = [[1.0, correlation], [correlation, 1.0]]
    z = np.random.default_rng(0).multivariate_normal(np.zeros(2), covariance, size=draws)
    inverse = np.linalg.inv(covariance)
    log_joint = -0.5 * np.einsum("bi,ij,bj->b", z, inverse, z) - 0.5 * np.log(1 - correlation**2)
    log_product = -0.5 * np.sum(z**2, axis=1)
    best = jnp.asarray(np.stack([log_joint, log_product], axis=1), jnp.float32)
    estimates = np.float64(jax.vmap(density_ratio.density_ratio_total_correlation)(best))
    exact = -0.5 * np.log(1 - correlation**2)
    assert abs(estimates.mean() - exact) < 4 * estimates.std() / np.sqrt(draws)


def test_interpolations_are_uniform_on_the_line():
    draws = 100_000
    real, fake = jnp.array([1.0, -2.0, 0.5]), jnp.array([3.0, 2.0, 0.5])
    keys = jax.random.split(jax.random.key(0), draws)
    points = np.float64(jax.vmap(adversarial.interpolate, (None, None, 0))(real, fake, keys))
    place = (points[:, 0] - 1.0) / 2.0
    np.testing.assert_allclose(points[:, 1], -2.0 + 4.0 * place, atol=1e-5)
    np.testing.assert_array_equal(points[:, 2], 0.5)
    assert place.min() >= 0
    assert place.max() <= 1
    assert abs(place.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / draws)
    # The variance of a sample variance is (μ₄ − σ⁴) / n, with μ₄ = 1/80 and σ² = 1/12.
    assert abs(place.var() - 1 / 12) < 4 * np.sqrt((1 / 80 - 1 / 144) / draws)


def test_interpolations_keep_their_dtype_and_refuse_others():
    half = jnp.ones((2, 3), jnp.bfloat16)
    assert adversarial.interpolate(half, half, jax.random.key(0)).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="one dtype, got bfloat16 and float32"):
        adversarial.interpolate(half, jnp.ones((2, 3)), jax.random.key(0))
    with pytest.raises(ValueError, match=r"real \(2,\), fake \(3,\)"):
        adversarial.interpolate(jnp.ones(2), jnp.ones(3), jax.random.key(0))


permute = jax.jit(density_ratio.permute_dimensions)


def test_permutations_keep_each_dimension_and_break_the_rows():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(64, 3)), jnp.float32)
    permuted = permute(z, jax.random.key(0))
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(z, axis=0))
    sources = np.argsort(np.argsort(permuted, axis=0), axis=0) - np.argsort(
        np.argsort(z, axis=0), axis=0
    )
    assert all((sources[:, k] != sources[:, 0]).any() for k in (1, 2))
    np.testing.assert_array_equal(permuted, permute(z, jax.random.key(0)))
    assert (permuted != permute(z, jax.random.key(1))).any()


def test_every_permutation_is_equally_likely_and_dimensions_are_independent():
    draws = 100_000
    z = jnp.arange(3)[:, None] * jnp.ones((1, 2), jnp.int32)
    keys = jax.random.split(jax.random.key(0), draws)
    permuted = np.asarray(jax.jit(jax.vmap(permute, (None, 0)))(z, keys))
    codes = permuted[:, 0] * 9 + permuted[:, 1] * 3 + permuted[:, 2]
    pairs, counts = np.unique(codes, axis=0, return_counts=True)
    assert len(pairs) == 36  # 3! permutations of one dimension with 3! of the other
    deviation = (counts - draws / 36) / np.sqrt(draws / 36 * 35 / 36)
    assert np.abs(deviation).max() < 4


def test_padding_stays_and_lends_nothing():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    key = jax.random.key(0)
    plain = permute(z, key)
    padded = jnp.concatenate([z, jnp.full((3, 3), jnp.nan)])
    at_the_end = permute(padded, key, jnp.arange(8) < 5)
    np.testing.assert_array_equal(at_the_end[:5], plain)
    assert np.isnan(at_the_end[5:]).all()

    valid = np.array([False, True, True, False, True, True, True, False])
    scattered = np.full((8, 3), np.nan, np.float32)
    scattered[valid] = z
    result = np.asarray(permute(scattered, key, valid))
    np.testing.assert_array_equal(np.sort(result[valid], axis=0), np.sort(z, axis=0))
    assert (result[valid] != z).any()
    assert np.isnan(result[~valid]).all()
    np.testing.assert_array_equal(permute(z, key, jnp.zeros(5, bool)), z)


def test_the_gradient_of_a_permutation_is_its_inverse():
    z = jnp.arange(10.0).reshape(5, 2)
    key = jax.random.key(0)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)
    grad = jax.grad(lambda z: jnp.sum(weights * permute(z, key)))(z)
    sources = np.asarray(permute(jnp.arange(5)[:, None] * jnp.ones((1, 2), jnp.int32), key))
    expected = np.empty((5, 2), np.float32)
    np.put_along_axis(expected, sources, np.asarray(weights), axis=0)
    np.testing.assert_array_equal(grad, expected)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"logits must have shape \[2\], got logits \(3,\)"):
        density_ratio.density_ratio_total_correlation(jnp.ones(3))
    with pytest.raises(ValueError, match=r"z must have rank 2, got shape \(3,\)"):
        density_ratio.permute_dimensions(jnp.ones(3), jax.random.key(0))
    with pytest.raises(ValueError, match=r"valid must have shape \(3,\).*got \(2,\)"):
        density_ratio.permute_dimensions(jnp.ones((3, 1)), jax.random.key(0), jnp.ones(2, bool))
