"""Bounds against NumPy, and on a linear Gaussian model against its exact likelihood."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.losses import bounds
from tests.losses.properties import Case, LossProperties
from tests.reference import bounds as reference

SAMPLES = 100_000


def sum_of_log_weights(log_px, log_pz, log_qz):
    return bounds.log_importance_weights(log_px=log_px, log_pz=log_pz, log_qz=log_qz).sum()


def log_weights(*shape):
    return lambda rng: (5 * rng.normal(size=shape),)


def extreme_log_weights():
    yield (np.array([-1e4]),)
    yield (np.array([-1e4, 1e4, 0.0]),)
    yield (np.full(7, -1e4),)
    yield (np.array([1e4, 1e4 - 1e-2]),)
    yield (np.array([-1e30, 0.0]),)


CASES = [
    Case(
        "log_importance_weights",
        sum_of_log_weights,
        reference.log_importance_weights,
        lambda rng: tuple(rng.normal(size=(3, 5))),
        lambda: [tuple(np.array([[-1e4, 1.0], [1e4, 0.0], [-1e4, 1e30]]))],
    ),
    Case("elbo", bounds.elbo, reference.elbo, log_weights(6), extreme_log_weights),
    Case(
        "elbo_from_kl",
        bounds.elbo_from_kl,
        reference.elbo_from_kl,
        lambda rng: (rng.normal(size=6), rng.random(())),
        lambda: [(np.array([-1e4, 1e4]), np.array(1e4))],
    ),
    Case(
        "importance_weighted_bound",
        bounds.importance_weighted_bound,
        reference.importance_weighted_bound,
        log_weights(6),
        extreme_log_weights,
    ),
    Case(
        "miwae",
        bounds.miwae,
        reference.miwae,
        log_weights(3, 4),
        lambda: [(np.array([[-1e4, 1e4], [0.0, -1e30]]),), (np.zeros((1, 1)),)],
    ),
    *(
        Case(
            f"ciwae({beta})",
            functools.partial(bounds.ciwae, beta=beta),
            functools.partial(reference.ciwae, beta=beta),
            log_weights(6),
            extreme_log_weights,
        )
        for beta in (0.0, 0.3, 1.0)
    ),
]


class TestProperties(LossProperties):
    cases = CASES


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    return reference.LinearGaussian(
        weights=rng.normal(size=(4, 2)),
        noise=0.8,
        x=rng.normal(size=4),
        mean=np.array([0.3, -0.5]),
        scale=np.array([0.6, 0.7]),
    )


@pytest.fixture(scope="module")
def exact(model):
    """A model of one latent dimension, whose posterior approximation is exact."""
    line = reference.LinearGaussian(
        model.weights[:, :1], model.noise, model.x, np.zeros(1), np.ones(1)
    )
    mean, covariance = line.posterior
    return dataclasses.replace(line, mean=mean, scale=np.sqrt(np.diagonal(covariance)))


def draw(model, *shape):
    noise = np.random.default_rng(1).normal(size=(*shape, 2))
    log_px, log_pz, log_qz = model.parts(model.mean + model.scale * noise)
    return bounds.log_importance_weights(log_px=log_px, log_pz=log_pz, log_qz=log_qz)


def test_one_sample_makes_the_importance_weighted_bound_the_elbo(model):
    for weights in np.asarray(draw(model, 5, 1)):
        assert bounds.importance_weighted_bound(weights) == bounds.elbo(weights)


def test_elbo_is_unbiased_for_its_closed_form(model):
    weights = draw(model, SAMPLES)
    error = np.std(weights) / np.sqrt(SAMPLES)
    assert abs(bounds.elbo(weights) - model.elbo) < 4 * error
    assert model.elbo < model.log_likelihood - 40 * error


def test_elbo_with_its_divergence_in_closed_form_has_the_same_mean(model):
    z = model.mean + model.scale * np.random.default_rng(1).normal(size=(SAMPLES, 2))
    log_px = model.parts(z)[0]
    kl = 0.5 * np.sum(model.mean**2 + model.scale**2 - 1 - 2 * np.log(model.scale))
    error = np.std(log_px) / np.sqrt(SAMPLES)
    assert abs(bounds.elbo_from_kl(log_px, kl) - model.elbo) < 4 * error


@pytest.mark.slow
def test_importance_weighted_bound_rises_with_samples_to_the_likelihood(model):
    estimates, errors = [], []
    for k in (1, 2, 5, 50, 1000):
        rows = jax.vmap(bounds.importance_weighted_bound)(draw(model, SAMPLES // k, k))
        estimates.append(float(np.mean(rows)))
        errors.append(float(np.std(rows) / np.sqrt(len(rows))))
    assert abs(estimates[0] - model.elbo) < 4 * errors[0]
    for step in range(4):
        spread = np.hypot(errors[step], errors[step + 1])
        assert estimates[step + 1] > estimates[step] + 3 * spread
    assert model.log_likelihood - 0.02 < estimates[-1] < model.log_likelihood + 4 * errors[-1]


def test_importance_weights_are_unbiased_for_the_likelihood(model):
    ratios = np.exp(np.asarray(draw(model, SAMPLES), np.float64) - model.log_likelihood)
    error = np.std(ratios) / np.sqrt(SAMPLES)
    assert error < 0.05
    assert abs(np.mean(ratios) - 1) < 4 * error


def test_weights_of_the_exact_posterior_are_the_likelihood(exact):
    log_px, log_pz, log_qz = exact.parts(np.random.default_rng(0).normal(size=(8, 1)))
    weights = bounds.log_importance_weights(log_px=log_px, log_pz=log_pz, log_qz=log_qz)
    np.testing.assert_allclose(weights, np.full(8, exact.log_likelihood), rtol=1e-5)
    for bound in (bounds.elbo, bounds.importance_weighted_bound):
        np.testing.assert_allclose(bound(weights), exact.log_likelihood, rtol=1e-5)


def test_miwae_is_the_mean_of_bounds_and_ciwae_lies_between_its_ends():
    weights = 3 * np.random.default_rng(0).normal(size=(3, 4))
    rows = [bounds.importance_weighted_bound(row) for row in weights]
    np.testing.assert_allclose(bounds.miwae(weights), np.mean(rows), rtol=1e-6)
    low, high = bounds.elbo(weights[0]), bounds.importance_weighted_bound(weights[0])
    assert bounds.ciwae(weights[0], beta=1.0) == low
    assert bounds.ciwae(weights[0], beta=0.0) == high
    assert low < bounds.ciwae(weights[0], beta=0.5) < high


def test_normalized_weights_sum_to_one_and_carry_no_gradient():
    weights = np.float32([[-1e4, -1e4 + 1, 1e4], [0.0, 1.0, 2.0]])
    normalized = bounds.normalized_importance_weights(weights)
    np.testing.assert_allclose(
        normalized[1], np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum(), rtol=1e-6
    )
    np.testing.assert_allclose(normalized.sum(-1), [1, 1], rtol=1e-6)
    grad = jax.grad(lambda w: (bounds.normalized_importance_weights(w) ** 2).sum())(weights)
    assert not grad.any()


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 4)])
def test_scale_gradient_leaves_values_and_scales_cotangents(shape):
    rng = np.random.default_rng(0)
    z, cotangent = np.float32(rng.normal(size=(2, *shape)))
    weights = np.float32([0.0, 0.5, 2.0])
    scaled, pullback = jax.vjp(bounds.scale_gradient, jnp.asarray(z), jnp.asarray(weights))
    np.testing.assert_array_equal(scaled, z)
    grad, weights_grad = pullback(cotangent)
    np.testing.assert_array_equal(grad, cotangent * weights.reshape(3, *[1] * (len(shape) - 1)))
    assert not weights_grad.any()
    _, tangent = jax.jvp(lambda z: bounds.scale_gradient(z, weights), (z,), (cotangent,))
    np.testing.assert_array_equal(tangent, grad)


def test_scale_gradient_refuses_weights_of_other_samples():
    with pytest.raises(ValueError, match=r"weights \(2,\), z \(3, 2\)"):
        bounds.scale_gradient(jnp.ones((3, 2)), jnp.ones(2))


def normal_log_density(value, mean, scale):
    standardised = (value - mean) / scale
    return jnp.sum(-0.5 * standardised**2 - jnp.log(scale) - 0.5 * jnp.log(2 * jnp.pi), axis=-1)


def estimate(bound, model):
    """The bound as a function of (m, log s, W) and the noise [k, d] of the samples."""

    def of(parameters, noise):
        mean, log_scale, weights = parameters
        z = mean + jnp.exp(log_scale) * noise

        def weigh(z, mean, log_scale):
            return bounds.log_importance_weights(
                log_px=normal_log_density(model.x, z @ weights.T, model.noise),
                log_pz=normal_log_density(z, 0.0, 1.0),
                log_qz=normal_log_density(z, mean, jnp.exp(log_scale)),
            )

        return bound(weigh, z, mean, log_scale)

    return of


def plain(weigh, z, mean, log_scale):
    return bounds.importance_weighted_bound(weigh(z, mean, log_scale))


def doubly(weigh, z, mean, log_scale):
    frozen = jax.lax.stop_gradient((mean, log_scale))
    return bounds.doubly_reparameterized_bound(lambda z: weigh(z, *frozen), z)


@pytest.mark.slow
def test_doubly_reparameterized_gradient_is_the_formula_of_the_paper(model):
    noise = np.random.default_rng(0).normal(size=(6, 2))
    parameters = (model.mean, np.log(model.scale), model.weights)
    with jax.enable_x64(True):
        actual, grads = jax.value_and_grad(estimate(doubly, model))(parameters, noise)
        usual, usual_grads = jax.value_and_grad(estimate(plain, model))(parameters, noise)
    assert actual == usual
    expected = model.doubly_reparameterized_gradient(noise)
    np.testing.assert_allclose(grads[0], expected[0], rtol=1e-10)
    np.testing.assert_allclose(grads[1], expected[1], rtol=1e-10)
    # The decoder's gradient is that of the plain bound, weighted once.
    np.testing.assert_allclose(grads[2], usual_grads[2], rtol=1e-10)
    assert np.abs(grads[0] - usual_grads[0]).max() > 1e-2


def test_doubly_reparameterized_gradient_is_unbiased_and_of_lower_variance(model):
    noise = np.float32(np.random.default_rng(0).normal(size=(SAMPLES // 8, 8, 2)))
    parameters = tuple(map(np.float32, (model.mean, np.log(model.scale), model.weights)))
    both = [
        jax.jit(jax.vmap(jax.grad(estimate(bound, model)), in_axes=(None, 0)))(parameters, noise)
        for bound in (plain, doubly)
    ]
    for usual, reparameterized in zip(*(grads[:2] for grads in both), strict=True):
        difference = np.float64(usual) - np.float64(reparameterized)
        error = difference.std(0) / np.sqrt(len(noise))
        assert (np.abs(difference.mean(0)) < 4 * error).all()
        # The gradient itself is far from zero on this scale, so that a wrong factor shows.
        assert (np.abs(usual.mean(0)) > 8 * error).all()
        assert (reparameterized.var(0) < 0.8 * usual.var(0)).all()


def test_doubly_reparameterized_gradient_vanishes_at_the_exact_posterior(exact):
    noise = np.random.default_rng(0).normal(size=(6, 1))
    parameters = (exact.mean, np.log(exact.scale), exact.weights)
    with jax.enable_x64(True):
        grads = jax.grad(estimate(doubly, exact))(parameters, noise)
        usual = jax.grad(estimate(plain, exact))(parameters, noise)
    assert max(np.abs(grad).max() for grad in grads[:2]) < 1e-12
    assert max(np.abs(grad).max() for grad in usual[:2]) > 1e-2


def test_weights_of_the_wrong_rank_and_empty_ones_are_refused():
    for bound in (bounds.elbo, bounds.importance_weighted_bound):
        with pytest.raises(ValueError, match=r"log_weights must have rank 1, got shape \(2, 3\)"):
            bound(jnp.ones((2, 3)))
        with pytest.raises(ValueError, match=r"must hold a sample, got shape \(0,\)"):
            bound(jnp.ones(0))
    with pytest.raises(ValueError, match=r"log_weights must have rank 2, got shape \(3,\)"):
        bounds.miwae(jnp.ones(3))


@pytest.mark.parametrize("beta", [-0.1, 1.5, float("nan")])
def test_ciwae_refuses_a_beta_that_is_no_convex_weight(beta):
    with pytest.raises(ValueError, match=rf"beta must lie in \[0, 1\], got {beta}"):
        bounds.ciwae(jnp.ones(3), beta)
