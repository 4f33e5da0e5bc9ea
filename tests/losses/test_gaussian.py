"""The Gaussian log-density and the bound of its log-variance against NumPy and SciPy."""

import jax.numpy as jnp
import numpy as np
from scipy import stats

from ae_jax.losses import gaussian, total_correlation
from tests.losses.properties import Case, LossProperties, MaskedLossProperties

SHAPE = (3, 4)
BOUND = gaussian.LOG_VAR_BOUND


def softplus(v):
    return np.logaddexp(0, v)


def bounded(raw):
    outer = softplus(2 * BOUND - softplus(BOUND - raw))
    return float(np.sum(outer - BOUND)), float(np.sum(outer + BOUND))


def nll(x, mean, log_var, observed=True):
    parts = (x - mean) ** 2 * np.exp(-log_var), log_var, np.full_like(x, np.log(2 * np.pi))
    value = -np.sum(stats.norm.logpdf(x, mean, np.exp(log_var / 2)), where=observed)
    return float(value), float(sum(0.5 * np.sum(np.abs(p), where=observed) for p in parts))


def pairwise(z, mean, log_var):
    density = stats.norm.logpdf(z[:, None], mean, np.exp(log_var / 2))
    return float(np.sum(density)), float(np.sum(np.abs(density)) + density.size)


def normals(rng):
    return tuple(rng.normal(size=(3, *SHAPE)))


def extremes():
    x, mean, _ = normals(np.random.default_rng(0))
    for log_var in (-80.0, -10.0, 10.0, 80.0):
        yield x, x if log_var < 0 else 1e3 * mean, np.full(SHAPE, log_var)


class TestBound(LossProperties):
    cases = (
        Case(
            "bounded_log_var",
            lambda raw: jnp.sum(gaussian.bounded_log_var(raw)),
            bounded,
            lambda rng: (8 * rng.normal(size=SHAPE),),
            lambda: [(np.linspace(-1e4, 1e4, 12).reshape(SHAPE),), (np.zeros(SHAPE),)],
        ),
    )


class TestDensity(MaskedLossProperties):
    cases = (Case("gaussian_nll", gaussian.gaussian_nll, nll, normals, extremes),)


class TestPairs(LossProperties):
    cases = (
        Case(
            "pairwise_gaussian_log_prob",
            lambda *arrays: jnp.sum(total_correlation.pairwise_gaussian_log_prob(*arrays)),
            pairwise,
            lambda rng: (rng.normal(size=(5, 4)), *normals(rng)[1:]),
        ),
    )
