"""Divergences against SciPy, against samples, and where naive forms lose their digits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax.losses import divergences
from tests import fast
from tests.losses.properties import Case, LossProperties, gradients, value
from tests.reference import divergences as reference

SHAPE = (3, 4)
SAMPLES = 100_000


def normals(count, shape=SHAPE):
    return lambda rng: tuple(rng.normal(size=shape) for _ in range(count))


def full_gaussians(rng):
    scales = [np.tril(rng.normal(size=(4, 4)), -1) + np.diag(0.3 + rng.random(4)) for _ in "qp"]
    return rng.normal(size=4), scales[0], rng.normal(size=4), scales[1]


def extreme_posteriors():
    log_var = np.array([-80.0, -20.0, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 20.0, 80.0])
    for mean in (0.0, 1e-6, 1.0, -1e6):
        yield np.full_like(log_var, mean), log_var


def extreme_pairs():
    for mean, log_var in extreme_posteriors():
        yield mean, log_var, np.ones_like(mean), np.zeros_like(mean)
        yield np.ones_like(mean), log_var / 2, 0 * mean, -log_var / 2
        yield mean, log_var, mean, log_var[::-1] * (log_var < 0)
        yield mean * np.exp(0.5 * log_var), log_var, 0 * mean, log_var


def extreme_scales():
    for exponent in (-12, -3, 3, 12):
        scale = np.diag(10.0 ** np.array([exponent, 0, -exponent])) + np.tril(np.ones((3, 3)), -1)
        yield np.ones(3), np.diag(10.0 ** np.array([exponent] * 3)), np.zeros(3), np.eye(3)
        yield np.zeros(3), scale, np.zeros(3), scale


def extreme_logits():
    yield np.zeros((2, 5))
    yield np.array([[1e4, -1e4, 0.0], [1e-6, -1e-6, 0.0]])
    yield np.array([[-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]])


CONCENTRATIONS = {
    2: [0.0, 1e-6, 1e-3, 0.99, 1.01, 30.0, 1e3, 1e5],
    3: [0.0, 1e-6, 1e-3, 0.99, 1.01, 30.0, 1e3, 1e5],
    17: [0.0, 1e-3, 0.5, 10.0, 1e3, 1e5],
    41: [0.0, 1e-3, 0.5, 10.0, 1e3, 1e5],
    42: [0.0, 1e-3, 0.5, 10.0, 1e3, 1e5],
    1024: [0.0, 1e-3, 0.5, 10.0, 1e3, 1e4],
}

CASES = [
    Case(
        "kl_standard_normal",
        divergences.kl_standard_normal,
        reference.kl_standard_normal,
        normals(2),
        extreme_posteriors,
    ),
    Case(
        "kl_diagonal_gaussians",
        divergences.kl_diagonal_gaussians,
        reference.kl_diagonal_gaussians,
        normals(4),
        extreme_pairs,
    ),
    Case(
        "kl_gaussians",
        divergences.kl_gaussians,
        reference.kl_gaussians,
        full_gaussians,
        extreme_scales,
    ),
    Case(
        "monte_carlo_kl",
        divergences.monte_carlo_kl,
        reference.monte_carlo_kl,
        normals(2, (7,)),
        lambda: [(np.array([-1e4, 1e4]), np.array([1e4, -1e30]))],
    ),
    *(
        Case(
            f"kl_von_mises_fisher_uniform({dimension})",
            functools.partial(divergences.kl_von_mises_fisher_uniform, dimension=dimension),
            functools.partial(reference.kl_von_mises_fisher_uniform, dimension=dimension),
            lambda rng: (0.1 + 20 * rng.random(2),),
            functools.partial(
                lambda kappas: [(np.array(kappa),) for kappa in kappas], CONCENTRATIONS[dimension]
            ),
        )
        for dimension in CONCENTRATIONS
    ),
    Case(
        "kl_categorical_uniform",
        divergences.kl_categorical_uniform,
        reference.kl_categorical_uniform,
        normals(1, (2, 3, 4)),
        lambda: [(logits,) for logits in extreme_logits()],
    ),
    Case(
        "free_bits",
        functools.partial(divergences.free_bits, threshold=0.5),
        functools.partial(reference.free_bits, threshold=0.5),
        lambda rng: (rng.random(9),),
        lambda: [(np.array([0.0, 1e-30, 0.5, 1e30]),)],
    ),
    Case(
        "capacity",
        functools.partial(divergences.capacity, gamma=30.0),
        functools.partial(reference.capacity, gamma=30.0),
        lambda rng: (10 * rng.random(()), 10 * rng.random(())),
        lambda: [(np.array(5.0), np.array(5.0)), (np.array(1e30), np.array(0.0))],
    ),
]


class TestProperties(LossProperties):
    cases = CASES


@pytest.mark.parametrize("log_var", [1e-3, -1e-3, 1e-2])
def test_kl_near_zero_keeps_its_precision(log_var):
    expected = 0.5 * (log_var**2 / 2 + log_var**3 / 6 + log_var**4 / 24)
    variance = np.float32([log_var])
    zero = np.float32([0.0])
    # The naive σ² − 1 − log σ² is wrong by 1.5e-2 of itself at 1e-3.
    tolerance = 1e-3 * 1e-3 / abs(log_var)
    for kl in (
        divergences.kl_standard_normal(zero, variance),
        divergences.kl_diagonal_gaussians(zero, variance, zero, zero),
    ):
        np.testing.assert_allclose(kl, expected, rtol=tolerance)


def test_kl_of_equal_distributions_is_zero():
    mean, log_var = np.float32(np.random.default_rng(0).normal(size=(2, 4)))
    scale = np.diag(np.exp(0.5 * log_var)) + np.tril(np.full((4, 4), 0.3, np.float32), -1)
    assert divergences.kl_diagonal_gaussians(mean, log_var, mean, log_var) == 0
    assert divergences.kl_gaussians(mean, scale, mean, scale) < 1e-12


def test_full_covariances_agree_with_diagonal_ones():
    mean_q, log_var_q, mean_p, log_var_p = np.float32(np.random.default_rng(0).normal(size=(4, 5)))
    scales = [np.diag(np.exp(0.5 * log_var)) for log_var in (log_var_q, log_var_p)]
    np.testing.assert_allclose(
        divergences.kl_gaussians(mean_q, scales[0], mean_p, scales[1]),
        divergences.kl_diagonal_gaussians(mean_q, log_var_q, mean_p, log_var_p),
        rtol=1e-5,
    )


def test_only_the_lower_triangles_of_the_factors_are_read():
    mean_q, scale_q, mean_p, scale_p = map(np.float32, full_gaussians(np.random.default_rng(0)))
    above = np.triu(np.full((4, 4), 100.0, np.float32), 1)
    clean = (mean_q, scale_q, mean_p, scale_p)
    dirty = (mean_q, scale_q + above, mean_p, scale_p + above)
    kl = divergences.kl_gaussians
    assert value(kl, clean) == value(kl, dirty)
    for grad, same in zip(gradients(kl, dirty), gradients(kl, clean), strict=True):
        np.testing.assert_array_equal(grad, same)
        if grad.ndim == 2:
            assert not np.triu(grad, 1).any()


@pytest.mark.parametrize("position", [1, 3])
def test_factors_that_do_not_fit_the_means_are_refused(position):
    arguments = [np.zeros(3), np.eye(3), np.zeros(3), np.eye(3)]
    arguments[position] = np.eye(4)
    with pytest.raises(ValueError, match=r"means of shape \(3,\), got \(4, 4\)"):
        divergences.kl_gaussians(*arguments)


def standard_normal_samples(rng):
    mean, log_var = np.array([0.5, -1.0, 2.0]), np.array([-1.0, 0.0, 0.7])
    q = stats.norm(mean, np.exp(0.5 * log_var))
    z = q.rvs((SAMPLES, 3), rng)
    ratios = q.logpdf(z).sum(1), stats.norm.logpdf(z).sum(1)
    return ratios, divergences.kl_standard_normal(mean, log_var)


def diagonal_samples(rng):
    parameters = rng.normal(size=(4, 3))
    q = stats.norm(parameters[0], np.exp(0.5 * parameters[1]))
    p = stats.norm(parameters[2], np.exp(0.5 * parameters[3]))
    z = q.rvs((SAMPLES, 3), rng)
    ratios = q.logpdf(z).sum(1), p.logpdf(z).sum(1)
    return ratios, divergences.kl_diagonal_gaussians(*parameters)


def full_samples(rng):
    mean_q, scale_q, mean_p, scale_p = full_gaussians(rng)
    q = stats.multivariate_normal(mean_q, scale_q @ scale_q.T)
    p = stats.multivariate_normal(mean_p, scale_p @ scale_p.T)
    z = q.rvs(SAMPLES, rng)
    return (q.logpdf(z), p.logpdf(z)), divergences.kl_gaussians(mean_q, scale_q, mean_p, scale_p)


def von_mises_fisher_samples(rng):
    mean, kappa = np.array([0.6, 0.0, 0.8, 0.0]), 7.0
    q = stats.vonmises_fisher(mean, kappa)
    z = q.rvs(SAMPLES, rng)
    surface = 2 * np.pi**2
    uniform = np.full(SAMPLES, -np.log(surface))
    return (q.logpdf(z), uniform), divergences.kl_von_mises_fisher_uniform(kappa, 4)


def categorical_samples(rng):
    logits = np.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.0]])
    log_q = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    drawn = [row[rng.choice(3, SAMPLES, p=np.exp(row))] for row in log_q]
    ratios = drawn[0] + drawn[1], np.full(SAMPLES, -2 * np.log(3))
    return ratios, divergences.kl_categorical_uniform(logits)


@pytest.mark.parametrize(
    "draw",
    [
        standard_normal_samples,
        diagonal_samples,
        full_samples,
        von_mises_fisher_samples,
        categorical_samples,
    ],
)
def test_monte_carlo_estimate_agrees_with_the_closed_form(draw):
    (log_q, log_p), closed = draw(np.random.default_rng(0))
    estimate = divergences.monte_carlo_kl(log_q, log_p)
    error = np.std(log_q - log_p) / np.sqrt(SAMPLES)
    assert 0 < error < 0.05 * closed
    assert abs(estimate - closed) < 4 * error


# The range where SciPy's exponentially scaled Bessel functions are normal numbers.
@pytest.mark.parametrize("dimension", [2, 3, 4, 10, 20, 41, 60, 100])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_von_mises_fisher_agrees_with_scipy(dimension, dtype, tolerance):
    kappas = np.logspace(-2 if dimension > 20 else -4, 5, 40).astype(dtype)
    kl = functools.partial(divergences.kl_von_mises_fisher_uniform, dimension=dimension)
    with jax.enable_x64(dtype == np.float64):
        values, slopes = jax.jit(jax.vmap(jax.value_and_grad(kl)))(jnp.asarray(kappas))
        values, slopes = np.asarray(values), np.asarray(slopes)
    for kappa, actual, slope in zip(np.float64(kappas), values, slopes, strict=True):
        expected, magnitude = reference.kl_von_mises_fisher_uniform(kappa, dimension)
        assert abs(actual - expected) <= tolerance * magnitude
        ratio = reference.bessel_ratio(kappa, dimension)
        # d KL / dκ = κ A' with A' = 1 − A² − (m − 1) A / κ.
        summands = np.array([kappa, -kappa * ratio**2, -(dimension - 1) * ratio])
        assert abs(slope - summands.sum()) <= tolerance * np.abs(summands).sum()


def test_von_mises_fisher_on_the_sphere_has_its_elementary_form():
    kappas = np.array([0.5, 3.0, 40.0, 300.0])
    # I_{1/2} is a hyperbolic sine.
    expected = kappas / np.tanh(kappas) - 1 - np.log(np.sinh(kappas) / kappas)
    kl = functools.partial(divergences.kl_von_mises_fisher_uniform, dimension=3)
    np.testing.assert_allclose(jax.vmap(kl)(np.float32(kappas)), expected, rtol=1e-5)


@pytest.mark.parametrize("dimension", [2, 3, 50, 1000])
def test_von_mises_fisher_does_not_cancel_at_either_end(dimension):
    kl = jax.value_and_grad(
        functools.partial(divergences.kl_von_mises_fisher_uniform, dimension=dimension)
    )
    small = np.float32(1e-4)
    actual, slope = kl(small)
    np.testing.assert_allclose(actual, np.float64(small) ** 2 / (2 * dimension), rtol=1e-5)
    np.testing.assert_allclose(slope, np.float64(small) / dimension, rtol=1e-5)
    large = np.float32(1e9)
    actual, slope = kl(large)
    # A Gaussian in the tangent space: (m − 1) / 2 · (log κ − log 2π − 1) + log |sphere|.
    surface = np.log(2) + dimension / 2 * np.log(np.pi) - reference.gammaln(dimension / 2)
    expected = (dimension - 1) / 2 * (np.log(np.float64(large) / (2 * np.pi)) - 1) + surface
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, (dimension - 1) / (2 * np.float64(large)), rtol=1e-3)


@pytest.mark.parametrize("dimension", [1, 0, -3, 2.5, True])
def test_von_mises_fisher_refuses_what_is_no_sphere(dimension):
    with pytest.raises(ValueError, match=f"dimension must be .* at least 2, got {dimension}"):
        divergences.kl_von_mises_fisher_uniform(jnp.ones(()), dimension)


CATEGORICAL_KL_AND_SLOPE = fast.jit(jax.value_and_grad(divergences.kl_categorical_uniform))


@pytest.mark.parametrize("scale", [1e-8, 1e-6, 1e-3, 0.1])
def test_categorical_kl_does_not_cancel_near_uniform(scale):
    """There it is half the variance of the logits; its summands are ten to 1e8 times as large."""
    logits = np.float32(scale) * np.float32(np.random.default_rng(0).uniform(-1, 1, (1, 9)))
    exact = logits.astype(np.longdouble)
    exact = exact - exact.mean()
    excess = exact - np.log1p(np.mean(np.expm1(exact)))
    q = np.exp(excess) / 9
    value, slope = CATEGORICAL_KL_AND_SLOPE(logits)
    np.testing.assert_allclose(value, float(np.sum(q * (excess + np.expm1(-excess)))), rtol=2e-5)
    expected = np.asarray(q * (excess - np.sum(q * excess)), float)
    np.testing.assert_allclose(slope, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_categorical_kl_is_bounded_by_the_logarithm_of_the_categories():
    certain = np.float32([[1e4, 0, 0, 0], [0, 0, -1e4, 1e4]])
    np.testing.assert_allclose(
        divergences.kl_categorical_uniform(certain), 2 * np.log(4), rtol=1e-6
    )
    with pytest.raises(ValueError, match=r"\[\*latent, categories\], got shape \(\)"):
        divergences.kl_categorical_uniform(jnp.zeros(()))


def test_free_bits_are_a_maximum_after_the_mean_and_not_a_mask():
    per_example = np.float32([[0.0, 2.0], [0.4, 0.0]])
    loss = functools.partial(divergences.free_bits, threshold=0.5)
    actual, grad = jax.value_and_grad(loss)(per_example.mean(0))
    # Dimension 0 averages 0.2 and costs the threshold; dimension 1 averages 1.
    assert actual == 1.5
    np.testing.assert_array_equal(grad, [0.0, 1.0])
    with pytest.raises(ValueError, match=r"threshold must not be negative, got -0.1"):
        divergences.free_bits(jnp.ones(2), -0.1)


def test_capacity_pulls_from_both_sides():
    grad = jax.grad(functools.partial(divergences.capacity, gamma=4.0))
    assert grad(jnp.float32(3.0), 5.0) == -4
    assert grad(jnp.float32(7.0), 5.0) == 4
    assert grad(jnp.float32(5.0), 5.0) == 0
    assert divergences.capacity(jnp.float32(3.0), jnp.float32(5.0), gamma=4.0) == 8
    with pytest.raises(ValueError, match=r"gamma must not be negative, got -1\.0"):
        divergences.capacity(jnp.ones(()), 5.0, gamma=-1.0)
    with pytest.raises(ValueError, match=r"kl must have rank 0, got shape \(2,\)"):
        divergences.capacity(jnp.ones(2), 5.0, gamma=1.0)
