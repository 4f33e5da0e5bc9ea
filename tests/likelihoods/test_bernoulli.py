"""The Bernoulli likelihood against SciPy, its moments, and its edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

import ae_jax as ae
from tests import fast

RNG = np.random.default_rng(0)
SHAPE = (4, 3, 2)
LOGITS = (2 * RNG.normal(size=SHAPE)).astype(np.float32)
BITS = RNG.integers(0, 2, SHAPE).astype(np.float32)
DRAWS = 20_000
LIKELIHOOD = ae.likelihoods.bernoulli()
LOG_PROB = fast.jit(LIKELIHOOD.log_prob)
GRADIENT = fast.jit(jax.grad(LIKELIHOOD.log_prob, argnums=1))


@pytest.mark.parametrize("event", [(1,), (7,), (3, 5), (3, 37, 53)])
def test_the_decoder_emits_the_events_shape_and_nothing_is_learned(event):
    assert LIKELIHOOD.parameter_shape(event) == event
    assert jax.tree.leaves(LIKELIHOOD.init(jax.random.key(0))) == []


def test_the_log_probability_is_scipys():
    expected = stats.bernoulli.logpmf(BITS, expit(LOGITS.astype(np.float64))).sum()
    np.testing.assert_allclose(LOG_PROB({}, LOGITS, BITS, None), expected, rtol=1e-6)


def test_grey_levels_give_the_cross_entropy():
    grey, p = (
        np.random.default_rng(1).random(SHAPE).astype(np.float32),
        expit(LOGITS.astype(np.float64)),
    )
    expected = np.sum(grey * np.log(p) + (1 - grey) * np.log1p(-p))
    np.testing.assert_allclose(LOG_PROB({}, LOGITS, grey, None), expected, rtol=1e-6)


def test_unobserved_entries_do_not_count_whatever_they_hold():
    observed = np.random.default_rng(1).random(SHAPE) < 0.5
    garbage = np.where(observed, BITS, np.nan).astype(np.float32)
    expected = stats.bernoulli.logpmf(BITS, expit(LOGITS.astype(np.float64)))[observed].sum()
    np.testing.assert_allclose(LOG_PROB({}, LOGITS, garbage, observed), expected, rtol=1e-6)
    gradient = GRADIENT({}, jnp.asarray(LOGITS), garbage, observed)
    np.testing.assert_array_equal(np.asarray(gradient)[~observed], 0)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("logit", [-1e4, -88.0, 88.0, 1e4])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_extreme_logits_have_finite_value_and_gradient(logit, x):
    arguments = {}, jnp.float32(logit), jnp.float32(x), None
    value, gradient = LOG_PROB(*arguments), GRADIENT(*arguments)
    right = (logit > 0) == (x == 1)
    np.testing.assert_allclose(value, 0 if right else -abs(logit), atol=1e-6)
    np.testing.assert_allclose(gradient, 0 if right else -np.sign(logit), atol=1e-6)


def test_mean_and_mode():
    np.testing.assert_allclose(LIKELIHOOD.mean({}, LOGITS), expit(LOGITS), rtol=1e-6)
    np.testing.assert_array_equal(LIKELIHOOD.mode({}, LOGITS), LOGITS > 0)


def test_samples_are_bits_with_the_right_mean():
    keys = jax.random.split(jax.random.key(0), DRAWS)
    draws = np.asarray(fast.jit(jax.vmap(lambda key: LIKELIHOOD.sample({}, LOGITS, key)))(keys))
    assert draws.dtype == np.float32
    assert set(np.unique(draws)) == {0.0, 1.0}
    p = expit(LOGITS.astype(np.float64))
    z = (draws.mean(0, dtype=np.float64) - p) / np.sqrt(p * (1 - p) / DRAWS)
    assert np.abs(z).max() < 4.5
    assert abs(np.mean(z**2) - 1) < 1.5  # 24 squares: a spread of 0.29


@pytest.mark.parametrize(("bad", "shown"), [(1.5, r"1\.5"), (-0.25, r"-0\.25"), (16.0, "16")])
def test_data_outside_the_unit_interval_are_refused_with_value_and_place(bad, shown):
    x = np.full((5, 2, 3), 0.5, np.float32)
    x[3, 1, 2] = bad
    low, high = min(0.5, bad), max(0.5, bad)
    match = rf"in \[0, 1\], got {shown} at \(3, 1, 2\) \(data range {low:g} to {high:g}\)"
    with pytest.raises(ae.errors.DataError, match=match):
        LIKELIHOOD.validate(x)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.bool_, np.float64])
def test_data_within_the_unit_interval_pass(dtype):
    LIKELIHOOD.validate(np.array([[0, 1], [1, 0]], dtype))
