"""Categorical codes: relaxed samples, exact ones, and the falling temperature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import ae_jax as ae
from ae_jax.distributions import kl_divergence
from tests import fast

CODES, D = 4, 3
BOTTLENECK = ae.bottlenecks.gumbel_softmax(
    D, CODES, temperature=2.0, final_temperature=0.5, anneal_steps=4
)
LOGITS = np.array([0.5, -1.0, 1.5, 0.0], np.float32)


def posterior(steps=0):
    params, state = BOTTLENECK.init(jax.random.key(0))
    return BOTTLENECK.posterior(params, {"steps": state["steps"] + steps}, jnp.asarray(LOGITS))


def test_samples_have_the_probabilities_and_bounds_count_them():
    q = posterior()
    p = special.softmax(np.float64(LOGITS))
    keys = jax.random.split(jax.random.key(1), 4000)
    draws = np.asarray(fast.jit(jax.vmap(q.sample))(keys))
    codes = np.asarray(q.codebook)
    found = np.abs(draws[:, None] - codes).sum(-1).argmin(-1)
    np.testing.assert_array_equal(codes[found], draws)
    assert stats.chisquare(np.bincount(found, minlength=CODES), 4000 * p).pvalue > 1e-3
    for j in range(CODES):
        np.testing.assert_allclose(q.log_prob(q.codebook[j]), np.log(p[j]), rtol=1e-5)
    np.testing.assert_allclose(q.mean, p @ codes, rtol=1e-5)
    np.testing.assert_array_equal(q.mode, codes[2])
    params, state = BOTTLENECK.init(jax.random.key(0))
    kl = kl_divergence(q, BOTTLENECK.prior(params, state))
    np.testing.assert_allclose(kl, np.sum(p * np.log(p * CODES)), rtol=1e-5)


def test_relaxed_samples_and_their_gradient_are_the_softmax_of_perturbed_logits():
    q, key = posterior(), jax.random.key(3)
    noise = np.asarray(jax.random.gumbel(key, (CODES,)), np.float64)
    codes, weights = np.float64(q.codebook), np.arange(1.0, D + 1)
    soft = lambda logits: special.softmax((logits + noise) / 2.0)
    np.testing.assert_allclose(q.relaxed(key), soft(LOGITS) @ codes, rtol=1e-5)

    def pull(logits, hard):
        q = posterior()
        moved = type(q)(logits, q.codebook, q.temperature).relaxed(key, hard)
        return jnp.sum(weights * moved)

    step = 1e-5 * np.eye(CODES)
    value = lambda logits: weights @ (soft(logits) @ codes)
    wanted = [(value(LOGITS + e) - value(LOGITS - e)) / 2e-5 for e in step]
    for hard in (False, True):
        found = jax.grad(pull)(jnp.asarray(LOGITS), hard)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
    drawn = q.relaxed(key, True)
    np.testing.assert_array_equal(drawn, np.asarray(q.codebook)[np.argmax(LOGITS + noise)])


def test_the_temperature_falls_along_half_a_cosine():
    found = [float(posterior(steps).temperature) for steps in (0, 1, 2, 4, 9)]
    wanted = [2.0, 0.5 + 0.75 * (1 + np.cos(np.pi / 4)), 1.25, 0.5, 0.5]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    state = BOTTLENECK.update({"steps": jnp.int32(7)}, {}, None)
    assert int(state["steps"]) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a positive number, got 0.0"),
        ({"temperature": -1}, "temperature must be a positive number, got -1"),
        ({"final_temperature": 0}, "final_temperature must be a positive number, got 0"),
        ({"anneal_steps": 0}, "anneal_steps must be a positive whole number, got 0"),
        ({"num_codes": 1}, "num_codes must be at least 2"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ae.errors.ConfigError, match=message):
        ae.bottlenecks.gumbel_softmax(3, **arguments)
