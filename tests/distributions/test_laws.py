"""Distributions against SciPy, and divergences in closed form against Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ae_jax import distributions as d
from ae_jax import losses
from tests import fast
from tests.distributions.cases import CURVATURE, LAWS, LOC, LOG_SCALE

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(6, 2)).astype(np.float32)
SCALE = np.exp(np.float64(LOG_SCALE))
DRAWS = 20_000


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def covariance_of(name):
    if name == "full":
        scale = np.asarray(LAWS["full"][0](2).scale, np.float64)
        return scale @ scale.T
    factor = np.asarray(LAWS["low_rank"][0](2).factor, np.float64)
    return np.diag(SCALE**2) + factor @ factor.T


def mixed(values):
    weights = special.softmax([0.3, -0.4])
    one = stats.norm(LOC, np.exp(0.5 * LOG_SCALE)).logpdf(values).sum(-1)
    other = stats.norm(-2 * LOC, np.exp(-0.5 * LOG_SCALE)).logpdf(values).sum(-1)
    return np.logaddexp(np.log(weights[0]) + one, np.log(weights[1]) + other)


SCIPYS = {
    "full": lambda v: stats.multivariate_normal(LOC, covariance_of("full")).logpdf(v),
    "low_rank": lambda v: stats.multivariate_normal(LOC, covariance_of("low_rank")).logpdf(v),
    "laplace": lambda v: stats.laplace(LOC, SCALE).logpdf(v).sum(-1),
    "student_t": lambda v: stats.t(4.0, LOC, SCALE).logpdf(v).sum(-1),
    "mixture": mixed,
    "uniform_sphere": lambda v: np.full(len(v), -np.log(4 * np.pi)),
}


@pytest.mark.parametrize("name", SCIPYS)
def test_log_densities_are_scipys(name):
    values = unit(np.c_[VALUES, VALUES[:, :1]]) if name == "uniform_sphere" else VALUES
    found = jax.vmap(LAWS[name][0](2).log_prob)(jnp.asarray(values))
    np.testing.assert_allclose(found, SCIPYS[name](np.float64(values)), rtol=2e-5, atol=1e-5)


@pytest.mark.slow
def test_moments_are_the_covariances():
    for name in ("full", "low_rank"):
        law = LAWS[name][0](2)
        sample = fast.jit(jax.vmap(law.sample))(jax.random.split(jax.random.key(0), DRAWS))
        expected = covariance_of(name)
        error = np.abs(np.cov(np.float64(sample).T) - expected)
        assert error.max() < 5 * expected.max() * np.sqrt(2 / DRAWS)


def log_normaliser(kappa, dimension):
    """Of De Cao & Aziz 2020, eq. 6: log ∫ (1 + μ·x)^κ dx."""
    beta = (dimension - 1) / 2
    alpha = beta + kappa
    gammas = special.loggamma(alpha) - special.loggamma(alpha + beta)
    return (alpha + beta) * np.log(2) + beta * np.log(np.pi) + gammas


@pytest.mark.parametrize(
    "dimension",
    [2, 3, pytest.param(11, marks=pytest.mark.slow), pytest.param(128, marks=pytest.mark.slow)],
)
def test_the_power_spherical_density_and_divergence_keep_their_digits(dimension):
    kappa = np.array([0.0, 1e-3, 0.7, 5.0, 300.0, 1e4])
    x, direction = unit(RNG.normal(size=(2, dimension)))
    x = unit(direction + 0.05 * x)
    area = np.log(2) + dimension / 2 * np.log(np.pi) - special.loggamma(dimension / 2)
    beta = (dimension - 1) / 2
    expected_log = special.digamma(beta + kappa) - special.digamma(2 * beta + kappa)
    kl = kappa * (np.log(2) + expected_log) - log_normaliser(kappa, dimension) + area
    found = [losses.kl_power_spherical_uniform(k, dimension) for k in kappa]
    np.testing.assert_allclose(found, kl, rtol=1e-5, atol=1e-6 if dimension < 100 else 1e-5)
    nll = log_normaliser(kappa, dimension) - kappa * np.log1p(x @ direction)
    single = [jnp.asarray(v, jnp.float32) for v in (x, direction)]
    found = [losses.power_spherical_nll(*single, jnp.float32(k)) for k in kappa]
    np.testing.assert_allclose(found, nll, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dimension", [2, 3, 6])
def test_heights_on_the_sphere_are_scipys_beta(dimension):
    """(1 + μ·z)/2 is Beta(β + κ, β) with β = (d - 1)/2 (De Cao & Aziz 2020)."""
    direction, beta = jnp.eye(dimension)[0], (dimension - 1) / 2
    keys = jax.random.split(jax.random.key(dimension), DRAWS)
    draw = fast.jit(lambda kappa: jax.vmap(d.PowerSpherical(direction, kappa).sample)(keys))
    for kappa in (0.0, 2.5, 80.0):
        height = 0.5 + 0.5 * np.float64(draw(jnp.float32(kappa)) @ direction)
        assert stats.kstest(height, stats.beta(beta + kappa, beta).cdf).pvalue > 1e-3


@pytest.mark.parametrize("angle", [0.0, 1e-4, 1.5, np.pi - 1e-4, np.pi])
def test_power_spherical_samples_move_no_faster_than_their_direction(angle):
    """Mirrored along e₁ - μ alone, near e₁ they would move 2 / angle as fast."""
    law = lambda direction: d.PowerSpherical(direction, jnp.float32(2))
    along = lambda angle: jnp.asarray([np.cos(angle), np.sin(angle), 0], jnp.float32)
    sample = lambda direction: law(direction).sample(jax.random.key(3))
    z, jacobian = sample(along(angle)), fast.jit(jax.jacrev(sample))(along(angle))
    assert np.linalg.norm(jacobian, 2) < 4
    height = sample(along(1.0)) @ along(1.0)
    np.testing.assert_allclose([z @ along(angle), z @ z], [height, 1], rtol=1e-6)


@pytest.mark.parametrize("first", [0.3, -0.3])
def test_the_gradient_of_power_spherical_samples_is_that_of_their_expectation(first):
    """E (w·z)² = (1 - h)/2 + (w·μ)² (3h - 1)/2 in three dimensions, h = E (μ·z)², 0.4 at κ = 2."""
    direction, w = unit(np.array([first, 0.7, -0.5])), np.array([0.5, -0.2, 1.0])

    def square(direction, key):
        return (d.PowerSpherical(direction, jnp.float32(2)).sample(key) @ jnp.float32(w)) ** 2

    keys = jax.random.split(jax.random.key(0), DRAWS)
    grads = fast.jit(jax.vmap(jax.grad(square), (None, 0)))(jnp.float32(direction), keys)
    tangent = np.eye(3) - np.outer(direction, direction)
    found, expected = np.asarray(grads) @ tangent, 0.2 * (w @ direction) * w @ tangent
    error = found.std(axis=0) / np.sqrt(DRAWS)
    assert np.all(np.abs(found.mean(axis=0) - expected) < 4 * error + 1e-6)
    assert np.linalg.norm(expected) > 8 * np.linalg.norm(error)


@pytest.mark.slow
def test_the_gradient_of_the_power_spherical_divergence_is_that_of_differences():
    grad = jax.grad(losses.kl_power_spherical_uniform)
    for dimension, kappa in ((2, 0.5), (3, 4.0), (6, 40.0)):
        step = 1e-4 * kappa
        area = np.log(2) + dimension / 2 * np.log(np.pi) - special.loggamma(dimension / 2)

        def kl(kappa, dimension=dimension, area=area):
            beta = (dimension - 1) / 2
            log = special.digamma(beta + kappa) - special.digamma(2 * beta + kappa)
            return kappa * (np.log(2) + log) - log_normaliser(kappa, dimension) + area

        expected = (kl(kappa + step) - kl(kappa - step)) / (2 * step)
        assert grad(kappa, dimension) == pytest.approx(expected, rel=1e-4)


def test_on_the_line_the_wrapped_normal_is_a_normal_of_distances():
    """In one dimension the ball of curvature -c is the line bent by z = tanh(√c s/2)/√c."""
    law, root = LAWS["wrapped_normal"][0](1), np.sqrt(CURVATURE)
    z = np.linspace(-0.9, 0.9, 7) / root
    place = lambda z: 2 / root * np.arctanh(root * z)
    normal = stats.norm(place(LOC[0]), SCALE[0]).logpdf(place(z))
    expected = normal + np.log(2 / (1 - CURVATURE * z**2))
    found = [law.log_prob(jnp.float32([v])) for v in z]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


PAIRS = {
    "full to diagonal": (LAWS["full"][0](2), d.standard_normal((2,))),
    "full to full": (LAWS["full"][0](2), d.FullGaussian(jnp.ones(2), 1.5 * jnp.eye(2))),
    "low rank to diagonal": (LAWS["low_rank"][0](2), LAWS["diagonal"][0](2)),
    "laplace to laplace": (LAWS["laplace"][0](2), d.Laplace(jnp.zeros(2), jnp.ones(2))),
    "laplace to diagonal": (LAWS["laplace"][0](2), LAWS["diagonal"][0](2)),
    "power spherical to uniform": (LAWS["power_spherical"][0](2), d.UniformSphere((3,))),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n.startswith("laplace") else n for n in PAIRS],
)
def test_divergences_in_closed_form_are_those_of_samples(name):
    q, p = PAIRS[name]
    keys = jax.random.split(jax.random.key(3), DRAWS)

    def ratio(key):
        z = q.sample(key)
        return q.log_prob(z) - p.log_prob(z)

    ratios = np.asarray(fast.jit(jax.vmap(ratio))(keys), np.float64)
    closed = d.kl_divergence(q, p)
    error = ratios.std() / np.sqrt(DRAWS)
    assert abs(ratios.mean() - closed) < 3 * error
    assert closed > 10 * error


def test_divergences_are_zero_where_the_two_are_equal():
    laplace, full = LAWS["laplace"][0](2), LAWS["full"][0](2)
    assert float(d.kl_divergence(laplace, laplace)) == 0
    assert float(d.kl_divergence(full, full)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["student_t", "wrapped_normal", "mixture", "planar"])
def test_pairs_without_a_closed_form_have_none(name):
    law = LAWS[name][0](2)
    assert d.kl_divergence(law, law) is None
    assert d.kl_divergence(law, d.standard_normal((2,))) is None
    assert d.kl_divergence(LAWS["diagonal"][0](2), law) is None


@pytest.mark.slow
def test_samples_are_reparameterised():
    """The gradient of E[|z|²] through samples is that of its closed form."""

    def power(law, keys):
        return jnp.mean(jnp.sum(jnp.square(jax.vmap(law.sample)(keys)), axis=-1))

    keys = jax.random.split(jax.random.key(5), DRAWS)
    full, low_rank = LAWS["full"][0](2), LAWS["low_rank"][0](2)
    gradient = fast.jit(jax.grad(power))(full, keys)
    np.testing.assert_allclose(jnp.tril(gradient.scale), 2 * full.scale, atol=0.1)
    gradient = fast.jit(jax.grad(power))(low_rank, keys)
    np.testing.assert_allclose(gradient.factor, 2 * low_rank.factor, atol=0.1)
    tilted = LAWS["power_spherical"][0](2)

    def height(kappa):
        law = d.PowerSpherical(tilted.direction, kappa)
        return jnp.mean(jax.vmap(law.sample)(keys) @ tilted.direction)

    kappa = tilted.concentration
    expected = 2 / (kappa + 2) ** 2  # d/dκ of κ/(κ + d - 1) with d = 3
    assert float(fast.jit(jax.grad(height))(kappa)) == pytest.approx(float(expected), abs=0.01)


def test_a_conditional_distribution_is_one_for_each_label():
    loc = jnp.arange(4.0)[:, None]
    law = d.Conditional(loc, lambda loc: d.DiagonalGaussian(loc, jnp.zeros(1)), "label", 3)
    for label, expected in ((0, 0), (2, 2), (-1, 3)):
        given = d.conditioned(law, {"label": jnp.int32(label)})
        np.testing.assert_array_equal(given.mean, [expected])
    with pytest.raises(ValueError, match=r"extras\['label'\]"):
        d.conditioned(law, {"class": 0})
