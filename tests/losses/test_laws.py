"""Divergences of Laplace laws and of the sphere against quadrature and SciPy."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from ae_jax import losses
from tests.losses.properties import finite_differences


def quadrature(q, p):
    """KL(q ‖ p) of two laws on the line."""
    integrand = lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x))
    width = 60 * q.std()
    edges = (q.mean() - width, q.mean(), q.mean() + width)
    return sum(integrate.quad(integrand, a, b, limit=200)[0] for a, b in itertools.pairwise(edges))


LAWS = [(0.0, 0.0, 0.0, 0.0), (0.5, -0.3, -1.0, 0.4), (2.0, 0.7, 2.0, -0.5), (-3.0, -1.0, 1.0, 0.2)]


@pytest.mark.parametrize("law", LAWS)
def test_kl_of_two_laplaces_is_that_of_quadrature(law):
    loc, log_scale, other, log_other = law
    expected = quadrature(
        stats.laplace(loc, np.exp(log_scale)), stats.laplace(other, np.exp(log_other))
    )
    found = losses.kl_laplaces(*(jnp.full((2,), v, jnp.float32) for v in law))
    np.testing.assert_allclose(found, 2 * expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("law", LAWS)
def test_kl_of_laplace_and_gaussian_is_that_of_quadrature(law):
    loc, log_scale, mean, log_var = law
    expected = quadrature(
        stats.laplace(loc, np.exp(log_scale)), stats.norm(mean, np.exp(log_var / 2))
    )
    found = losses.kl_laplace_gaussian(*(jnp.full((3,), v, jnp.float32) for v in law))
    np.testing.assert_allclose(found, 3 * expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["kl_laplaces", "kl_laplace_gaussian"])
@pytest.mark.parametrize("law", LAWS[1:])
def test_gradients_are_finite_differences(name, law):
    function = getattr(losses, name)
    with jax.enable_x64(True):
        at = np.array(law)
        grad = jax.grad(lambda v: function(*v[:, None]))(jnp.asarray(at))
        step = 1e-6 * np.eye(4)
        moved = [function(*(at + s)[:, None]) - function(*(at - s)[:, None]) for s in step]
        smooth = np.array([at[0] != at[2], True, at[0] != at[2], True])  # not at a kink
        np.testing.assert_allclose(grad[smooth], np.array(moved)[smooth] / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("dimension", [2, 3, 5, 16])
def test_the_sphere_has_its_area(dimension):
    area = 2 * math.pi ** (dimension / 2) / special.gamma(dimension / 2)
    assert losses.log_sphere_area(dimension) == pytest.approx(math.log(area))


def log_constant(dimension, kappa):
    """Log of c in c (1 + μ·x)^κ (De Cao & Aziz 2020, equation 6)."""
    a, b = (dimension - 1) / 2 + kappa, (dimension - 1) / 2
    log_c = (a + b) * math.log(2) + b * math.log(math.pi)
    return -(log_c + special.gammaln(a) - special.gammaln(a + b))


@pytest.mark.parametrize("dimension", [2, 3, 8])
@pytest.mark.parametrize("kappa", [0.0, 0.7, 25.0])
def test_the_density_on_the_sphere_is_the_papers(dimension, kappa):
    rng = np.random.default_rng(dimension)
    x, direction = (v / np.linalg.norm(v) for v in rng.normal(size=(2, dimension)))
    expected = -log_constant(dimension, kappa) - kappa * np.log1p(x @ direction)
    found = losses.power_spherical_nll(jnp.float32(x), jnp.float32(direction), jnp.float32(kappa))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("dimension", [2, 3, 8])
@pytest.mark.parametrize("kappa", [0.3, 4.0, 25.0])
def test_kl_to_the_uniform_is_that_of_quadrature(dimension, kappa):
    """(1 + μ·x)/2 is Beta(β + κ, β) distributed, β = (d - 1)/2."""
    beta = (dimension - 1) / 2
    share = stats.beta(beta + kappa, beta)
    log_p = lambda t: log_constant(dimension, kappa) + kappa * np.log(2 * t)
    mean = integrate.quad(lambda t: share.pdf(t) * log_p(t), 0, 1, limit=200)[0]
    expected = mean + losses.log_sphere_area(dimension)
    found = losses.kl_power_spherical_uniform(jnp.float32(kappa), dimension)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dimension", [2, 3, 8])
@pytest.mark.parametrize("kappa", [0.3, 4.0, 25.0])
def test_gradients_on_the_sphere_are_finite_differences_of_the_papers(dimension, kappa):
    """By κ of both, and of the density along the sphere by the point and by the direction."""
    x, direction = np.random.default_rng(dimension).normal(size=(2, dimension))
    unit = lambda v: v / (v @ v) ** 0.5
    nll = lambda x, mu, k: -log_constant(dimension, k) - k * np.log1p(unit(x) @ unit(mu))
    ours = lambda x, mu, k: losses.power_spherical_nll(unit(x), unit(mu), k)

    def divergence(k):  # E log(1 + μ·x) = log 2 + ψ(β + κ) - ψ(2β + κ)
        beta = (dimension - 1) / 2
        share = special.digamma(beta + k) - special.digamma(2 * beta + k)
        return log_constant(dimension, k) + k * (math.log(2) + share)

    with jax.enable_x64(True):
        arguments = x, direction, np.array(kappa)
        found = jax.grad(ours, (0, 1, 2))(*map(jnp.asarray, arguments))
        for got, wanted in zip(found, finite_differences(nll, arguments), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-8)
        kl = lambda k: losses.kl_power_spherical_uniform(k, dimension)
        (wanted,) = finite_differences(divergence, (np.array(kappa),))
        np.testing.assert_allclose(jax.grad(kl)(jnp.asarray(kappa)), wanted, rtol=1e-6, atol=1e-8)
