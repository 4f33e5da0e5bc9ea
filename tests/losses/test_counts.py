"""Likelihoods of counts against SciPy in double precision, over many decades."""

import jax
import numpy as np
import pytest
from scipy import special

from ae_jax import losses
from tests import fast
from tests.losses.properties import Case, MaskedLossProperties
from tests.reference import counts as reference

COUNTS = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 40.0], [7.0, 700.0]])


def zero_inflated(log_mean, log_dispersion, dropout_logits, observed=None):
    return losses.zero_inflated_negative_binomial(
        log_mean, log_dispersion, dropout_logits, COUNTS.astype(np.float32), observed
    )


def zero_inflated_reference(*parameters, observed=True):
    entries, magnitudes = reference.zero_inflated_negative_binomial(COUNTS, *parameters)
    return np.sum(entries, where=observed), np.sum(magnitudes, where=observed)


def parameters(rng):
    return tuple(rng.normal(size=(3, *COUNTS.shape)) * np.array([2, 2, 3])[:, None, None])


def extreme_parameters():
    for log_mean in (-40.0, 0.0, 40.0):
        for log_dispersion in (-18.0, 0.0, 40.0):
            for logit in (-1e4, -80.0, -17.0, 0.0, 17.0, 80.0, 1e4):
                yield tuple(np.full(COUNTS.shape, v) for v in (log_mean, log_dispersion, logit))


CASES = [
    Case(
        "zero_inflated_negative_binomial",
        zero_inflated,
        zero_inflated_reference,
        parameters,
        extreme_parameters,
    )
]


class TestProperties(MaskedLossProperties):
    cases = CASES


LARGE = np.concatenate([[0, 1, 2, 7, 8, 9], np.logspace(1.3, 8, 15).round()])
OFFSETS = (-30, -8, -2, -0.5, -1e-2, -1e-3, 0, 1e-3, 0.1, 2, 8)
LOG_DISPERSIONS = (-20, -12, -6, np.log(0.1), 0, 2, 8, 20)
ROUNDING = 3e-7  # of an exponential in float32


def wide():
    """Counts to 1e8 beside log-means around them and dispersions of 17 decades, as float32."""
    grid = np.meshgrid(LARGE, OFFSETS, LOG_DISPERSIONS, indexing="ij")
    x, offset, log_dispersion = (axis.ravel() for axis in grid)
    return np.float32([x, np.log(np.maximum(x, 0.5)) + offset, log_dispersion])


def alone(function):
    """A sum over an event as a function of its one entry, for a batch of them."""
    return fast.jit(jax.vmap(function))


def one(function):
    return lambda *scalars: function(*(scalar[None] for scalar in scalars))


def zero_inflated_nll(x, log_mean, log_dispersion, logits):
    return -losses.zero_inflated_negative_binomial(log_mean, log_dispersion, logits, x)


def assert_rounded(actual, expected, sensitivity):
    """Errors are those of float32 and of one rounding of the mean, whatever the count."""
    actual = np.asarray(actual, float)
    error = np.abs(actual - expected)
    allowed = 2e-6 * (1 + np.abs(expected)) + ROUNDING * np.abs(sensitivity)
    worst = np.argmax(error / allowed)
    assert (error <= allowed).all(), (actual[worst], expected[worst], wide()[:, worst])


def test_poisson_keeps_its_digits_at_large_counts():
    """Of a sum whose terms reach 2e9, the value and x - λ, its gradient, are left."""
    x, log_rate, _ = wide()
    value, slope = alone(jax.value_and_grad(one(losses.poisson_nll), 1))(x, log_rate)
    x, log_rate = x.astype(float), log_rate.astype(float)
    assert_rounded(value, -reference.poisson(x, log_rate), np.exp(log_rate) - x)
    assert_rounded(slope, np.exp(log_rate) - x, np.exp(log_rate))


def negative_binomial_slopes(x, log_mean, log_dispersion):
    """By log m and by log α, the second whose terms reach r log r."""
    m, r = np.exp(log_mean), np.exp(-log_dispersion)
    by_dispersion = r * (special.digamma(x + r) - special.digamma(r) - np.log1p(m / r))
    return (m - x) / (1 + m / r), by_dispersion + r * (m - x) / (r + m)


def test_negative_binomial_keeps_its_digits_at_large_counts():
    nll = jax.value_and_grad(one(losses.negative_binomial_nll), (1, 2))
    value, slopes = alone(nll)(*wide())
    inputs = wide().astype(float)
    by_mean, by_dispersion = negative_binomial_slopes(*inputs)
    assert_rounded(value, -reference.negative_binomial(*inputs)[0], by_mean)
    share = special.expit(-inputs[1] - inputs[2])
    assert_rounded(slopes[0], by_mean, np.exp(inputs[1]) * share)
    digits = inputs[2] > -7  # the reference's
    moved = negative_binomial_slopes(inputs[0], inputs[1] + ROUNDING, inputs[2])[1] - by_dispersion
    assert_rounded(slopes[1][digits], by_dispersion[digits], moved[digits] / ROUNDING)


def test_the_negative_binomials_gradient_at_ten_million():
    """Where differences of log-gamma functions, and so their gradients, were 0."""
    inputs = np.float32([1e7, np.log(5e6), np.log(0.1)])
    slopes = alone(jax.grad(one(losses.negative_binomial_nll), (1, 2)))(*inputs[:, None])
    expected = negative_binomial_slopes(*inputs.astype(float))
    np.testing.assert_allclose(np.ravel(slopes), expected, rtol=2e-6)


def test_the_zero_inflated_negative_binomial_keeps_its_digits_at_large_counts():
    """And at counts of zero, where a probability of all but one has a logarithm all but zero."""
    nll = alone(jax.value_and_grad(one(zero_inflated_nll), (1, 2, 3)))
    inputs = wide()
    by_mean = negative_binomial_slopes(*inputs.astype(float))[0]
    for logit in (-60.0, 0.0, 60.0):
        logits = np.full(inputs.shape[1:], logit, np.float32)
        value, slopes = nll(*inputs, logits)
        expected, _ = reference.zero_inflated_negative_binomial(*inputs.astype(float), logits)
        assert_rounded(value, -expected, by_mean)
        assert all(np.isfinite(slope).all() for slope in slopes)
    rare = np.float32([0.0]), np.float32([-17.0]), np.float32([0.0]), np.float32([2.0])
    got = losses.zero_inflated_negative_binomial(*rare[1:], rare[0])
    np.testing.assert_allclose(got, -np.exp(-17.0) * special.expit(-2.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (losses.poisson_nll, 2),
        (losses.negative_binomial_nll, 3),
        pytest.param(zero_inflated_nll, 4, marks=pytest.mark.slow),
    ],
)
def test_second_derivatives_are_finite_and_right(function, count):
    def hessians(inputs):
        places = tuple(range(1, count))
        second = alone(jax.jacfwd(jax.grad(one(function), places), places))(*inputs)
        return np.stack([np.asarray(leaf) for leaf in jax.tree.leaves(second)])

    inputs = [*wide(), np.full(wide().shape[1:], -1.0, np.float32)][:count]
    assert np.isfinite(hessians(inputs)).all()
    few = [v[:: 7 * len(LOG_DISPERSIONS) + 3].astype(float) for v in inputs]
    gradient = alone(jax.grad(one(function), tuple(range(1, count))))
    step = 1e-5
    with jax.enable_x64(True):
        exact, differences = hessians(few), []
        for place in range(1, count):
            up, down = ([v + s * (i == place) for i, v in enumerate(few)] for s in (step, -step))
            moved = zip(gradient(*up), gradient(*down), strict=True)
            differences.append([(a - b) / (2 * step) for a, b in moved])
    differences = np.swapaxes(differences, 0, 1).reshape(exact.shape)
    scale = 1 + np.abs(exact).max(axis=0)
    assert (np.abs(exact - differences) <= 1e-5 * scale).all()
