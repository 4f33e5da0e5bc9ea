"""The discretised logistic mixture: its bins, layout, mean and mode; and bits per dimension."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax import losses
from tests.likelihoods.cases import DRAWS, compiled

LEVELS = np.arange(256)
RNG = np.random.default_rng(0)


make = functools.cache(ae.likelihoods.discretized_logistic_mixture)


@functools.cache
def table(levels):
    """One entry's log p of every given x, its mean and its mode."""
    likelihood = make(3, levels)

    def evaluate(y, x):
        log_prob = jax.vmap(lambda x: likelihood.log_prob({}, y, x, None))
        return log_prob(x[:, None]), likelihood.mean({}, y)[0], likelihood.mode({}, y)[0]

    return jax.jit(evaluate)


def every_level(y, levels=256):
    """log p of every grey level under three components, their mean and their mode."""
    y, x = np.float32(y), np.arange(levels, dtype=np.float32) / np.float32(levels - 1)
    log_probs, mean, mode = table(levels)(y, x)
    return np.asarray(log_probs, float), float(mean), float(mode)


def alike(*parameters):
    """Three components with the same parameters: in effect one."""
    return np.repeat(parameters, 3)


@pytest.mark.parametrize("location", [-1e4, -1.0, -0.3, 0.9, 50.0])
@pytest.mark.parametrize("raw", [-1e4, -6.0, -2.0, 3.0, 1e4])
def test_all_levels_sum_to_one(location, raw):
    log_probs, _, _ = every_level([0.3, -0.5, 0, location, 0.1, 0.9, raw, -1.0, -9])
    assert np.isfinite(log_probs).all()
    np.testing.assert_allclose(np.exp(log_probs).sum(), 1, rtol=2e-4)


def test_one_component_has_the_bins_of_pixelcnn():
    location, log_scale = 0.2, -2.5
    edges = np.concatenate([[-np.inf], (2 * LEVELS[1:] - 1) / 255 - 1, [np.inf]])
    scale = np.exp(-7 + np.logaddexp(0, 14 - np.logaddexp(0, 7 - log_scale)))
    expected = np.log(np.diff(stats.logistic(location, scale).cdf(edges)))
    np.testing.assert_allclose(every_level(alike(7.0, location, log_scale))[0], expected, rtol=1e-5)


@pytest.mark.parametrize("levels", [2, 17, 65_536])
def test_other_numbers_of_levels_sum_to_one(levels):
    log_probs, _, _ = every_level([1.0, 0.0, 0.2, 0.3, -0.6, 0.9, -1.0, -3.0, 0.0], levels)
    np.testing.assert_allclose(np.exp(log_probs).sum(), 1, rtol=2e-4)


def test_mode_is_the_most_probable_level():
    for seed in range(5):
        log_probs, _, mode = every_level(np.random.default_rng(seed).normal(0, 1.5, 9))
        assert log_probs[round(mode * 255)] >= log_probs.max() - 1e-5


@pytest.mark.parametrize(("level_scale", "tolerance"), [(0.15, 0.5), (1.0, 0.02), (40.0, 0.001)])
def test_mean_is_that_of_the_levels_before_rounding(level_scale, tolerance):
    """In levels, the tolerance is the rounding's part for components that narrow."""
    for location in np.linspace(-1.3, 1.3, 27):
        log_probs, mean, _ = every_level(alike(0, location, np.log(level_scale / 127.5)))
        assert abs(mean * 255 - np.exp(log_probs) @ LEVELS) <= tolerance


def test_mean_of_wild_components_stays_in_the_unit_interval():
    likelihood = make(1)
    y = jnp.array([[0, m, s] for m in (-1e4, -1.0, 0.0, 1.0, 1e4) for s in (-1e4, 0, 1e4)])
    entry = jax.value_and_grad(lambda y: likelihood.mean({}, y)[0])
    mean, gradient = jax.jit(jax.vmap(entry))(y)
    assert ((mean >= -1e-4) & (mean <= 1 + 1e-4)).all()
    assert np.isfinite(gradient).all()


def test_each_channel_has_parameters_of_its_own():
    """The last axis holds, channel by channel, K logits, K locations and K log-scales."""
    likelihood = make(2)
    assert likelihood.parameter_shape((5, 7, 3)) == (5, 7, 18)
    y, x = np.float32(RNG.normal(size=(4, 18))), np.float32(RNG.integers(0, 256, (4, 3)) / 255)
    together = jax.jit(lambda y: likelihood.log_prob({}, y, x, None))(y)
    one = jax.vmap(jax.vmap(lambda y, x: likelihood.log_prob({}, y, x[None], None)))
    apart = jax.jit(one)(y.reshape(4, 3, 6), x)
    np.testing.assert_allclose(together, apart.sum(), rtol=1e-5)
    y = np.zeros((4, 18), np.float32)
    y[:, 6 + 2 : 6 + 4] = 0.5  # the second channel's locations
    mean = np.asarray(jax.jit(likelihood.mean)({}, y))
    np.testing.assert_allclose(mean[:, [0, 2]], 0.5, atol=1e-6)
    assert (mean[:, 1] > 0.55).all()


def test_samples_are_levels_with_their_frequencies():
    y = np.float32([0.5, 0.0, 0.3, 0.6, -0.8, 0.1, -1.0, -1.5, -4.0])
    keys = jax.random.split(jax.random.key(0), DRAWS)
    draws = np.asarray(compiled("discretized_logistic_mixture", "draw")({}, y, keys))[:, 0]
    np.testing.assert_allclose(draws * 255, np.rint(draws * 255), atol=1e-4)
    expected = np.exp(every_level(y)[0])
    counted = np.bincount(np.rint(draws * 255).astype(int), minlength=256)
    assert stats.chisquare(counted, DRAWS * expected / expected.sum()).pvalue > 1e-4


def test_values_between_levels_are_refused():
    make().validate(LEVELS.astype(np.float32) / np.float32(255))
    make(levels=17).validate(np.arange(17, dtype=np.float32) / np.float32(16))
    with pytest.raises(ae.errors.DataError, match=r"one of 256 grey levels.*got 0\.0625 at \(1,\)"):
        make().validate(np.arange(17) / 16)
    with pytest.raises(ae.errors.DataError, match=r"\[0, 1\], got 255 at \(1,\).*from \[0, 255\]"):
        make().validate(np.array([0, 255], np.uint8))


@pytest.mark.parametrize(("argument", "wrong"), [("num_mixtures", 0), ("levels", 1), ("levels", 0)])
def test_arguments_are_checked(argument, wrong):
    with pytest.raises(ae.errors.ConfigError, match=f"{argument} must be .*, got {wrong}"):
        make(**{argument: wrong})


def test_bits_per_dim_of_uniform_bytes_is_eight():
    log_prob = jnp.full(4, 3 * 32 * 32 * -np.log(256))
    np.testing.assert_allclose(losses.bits_per_dim(log_prob, (32, 32, 3)), np.full(4, 8.0), 1e-6)
    assert losses.bits_per_dim(jnp.zeros((), jnp.bfloat16), (1,)).dtype == np.float32
    with pytest.raises(ae.errors.ConfigError, match=r"event_shape must have entries, got \(0, 3\)"):
        losses.bits_per_dim(log_prob, (0, 3))
