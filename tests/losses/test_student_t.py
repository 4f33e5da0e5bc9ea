"""Student's t density against SciPy, from heavier tails than Cauchy's to the Gaussian limit."""

import jax
import numpy as np
from scipy import special, stats

from ae_jax import losses
from tests import fast
from tests.losses.properties import Case, MaskedLossProperties

SHAPE = (4, 3)


def reference(x, location, log_scale, log_degrees, observed=True):
    nu, scale = np.exp(log_degrees), np.exp(log_scale)
    entries = -stats.t.logpdf(x, nu, location, scale)
    tail = 0.5 * (nu + 1) * np.log1p(((x - location) / scale) ** 2 / nu)
    magnitudes = np.abs(entries) + tail + np.abs(log_scale) + 1
    return np.sum(entries, where=observed), np.sum(magnitudes, where=observed)


def draw(rng):
    return tuple(rng.normal(size=SHAPE) for _ in range(4))


def extremes():
    errors = np.array([0.0, 1e-6, 1.0, -1e3, 1e8])
    for log_scale in (-8.0, 0.0, 8.0):
        for log_degrees in (-18.0, 0.0, 10.0):
            yield (errors, 0 * errors, *(np.full(5, v) for v in (log_scale, log_degrees)))


class TestProperties(MaskedLossProperties):
    cases = (Case("student_t_nll", losses.student_t_nll, reference, draw, extremes),)


def by_log_degrees(z, nu):
    halves = special.digamma(nu / 2) - special.digamma((nu + 1) / 2)
    excess = z**2 / nu
    return 0.5 * nu * (halves + np.log1p(excess)) + 0.5 - 0.5 * (nu + 1) * excess / (1 + excess)


def test_gradients_keep_their_digits_from_cauchy_to_gaussian():
    """By ν they are differences of gamma functions that agree to 1 / ν²."""
    grid = np.meshgrid([0.0, 1e-3, 0.5, 1.7, 10.0, 1e4], np.arange(-18.0, 18.1, 3.0))
    z, log_degrees = (np.float32(axis.ravel()) for axis in grid)
    one = lambda z, log_degrees: losses.student_t_nll(
        *(v[None] for v in (z, 0 * z, 0 * z, log_degrees))
    )
    by_z, by_nu = fast.jit(jax.vmap(jax.grad(one, (0, 1))))(z, log_degrees)
    second = fast.jit(jax.vmap(jax.hessian(one, (0, 1))))(z, log_degrees)
    z, nu = z.astype(float), np.exp(log_degrees.astype(float))
    np.testing.assert_allclose(by_z, (nu + 1) * z / (nu + z**2), rtol=1e-5)
    few = nu < 1e3  # beyond, SciPy's own terms cancel
    expected = by_log_degrees(z, nu)
    np.testing.assert_allclose(by_nu[few], expected[few], rtol=1e-4, atol=1e-6)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(second))
    limit = (nu > 1e6) & (np.abs(z) < 100)
    correction = (z**4 - 2 * z**2 - 1) / (4 * nu)  # of the Gaussian cost, less this, by log ν
    np.testing.assert_allclose(by_nu[limit], correction[limit], rtol=1e-3)
