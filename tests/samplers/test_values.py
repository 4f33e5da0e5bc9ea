"""Densities of codes against scikit-learn, SciPy and NumPy."""

import jax
import numpy as np
import pytest
import scipy.stats
from sklearn.mixture import GaussianMixture

import ae_jax as ae
from ae_jax.samplers.kernel_density import WIDTHS, held_out, scott
from ae_jax.samplers.sampler import drawn, scored
from tests.samplers import toys

RNG = np.random.default_rng(1)
ZERO = np.zeros(50, int)


def test_a_mixture_is_as_likely_as_that_of_scikit_learn():
    codes, _ = toys.clusters()
    sampler = ae.samplers.gaussian_mixture(2)
    state = sampler.fit(codes, jax.random.key(0))
    theirs = GaussianMixture(2, max_iter=500, random_state=0, tol=1e-6).fit(codes)
    at = RNG.normal(size=(50, 2)).astype(np.float32)
    found = scored(sampler, state, at, ZERO)
    np.testing.assert_allclose(found, theirs.score_samples(at), rtol=2e-2, atol=2e-2)


def test_a_mixture_has_scipys_density():
    codes, labels = toys.clusters()
    sampler = ae.samplers.gaussian_mixture(3)
    state = sampler.fit(codes * [1, 1e3], jax.random.key(0), labels)
    at = (codes[1::8] * [1, 1e3]).astype(np.float32)
    parts = [
        log_weight + scipy.stats.multivariate_normal(mean, factor @ factor.T).logpdf(at)
        for log_weight, mean, factor in zip(
            state["log_weights"][1],
            state["means"][1].astype(float),
            state["factors"][1].astype(float),
            strict=True,
        )
    ]
    want = scipy.special.logsumexp(parts, axis=0)
    np.testing.assert_allclose(scored(sampler, state, at, ZERO + 1), want, rtol=1e-4, atol=1e-4)
    assert np.exp(state["log_weights"][1]).sum() == pytest.approx(1, abs=1e-5)


def test_the_number_of_components_is_that_of_the_clusters():
    centres = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9], [20, 20]])
    codes = centres[np.arange(300) % 5] + RNG.normal(size=(300, 2))
    state = ae.samplers.gaussian_mixture().fit(codes, jax.random.key(0))
    assert state["means"].shape == (1, 5, 2)


def test_classes_of_fewer_components_are_filled_up_and_never_drawn_from_beyond():
    codes = np.concatenate([RNG.normal(size=(300, 1)), 50 * (np.arange(300) % 3)[:, None]])
    codes[300:] += 0.1 * RNG.normal(size=(300, 1)) + 100
    labels = np.repeat([0, 1], 300)
    sampler = ae.samplers.gaussian_mixture()
    state = sampler.fit(codes, jax.random.key(0), labels)
    assert (np.isfinite(state["log_weights"]).sum(axis=1) == [1, 3]).all()
    new = np.asarray(drawn(sampler, state, jax.random.key(0), np.arange(500), np.zeros(500, int)))
    assert np.abs(new).max() < 6
    log = scored(sampler, state, new[:50], ZERO)
    want = scipy.stats.norm(codes[:300].mean(), codes[:300].std()).logpdf(new[:50, 0])
    np.testing.assert_allclose(log, want, atol=1e-3)


@pytest.mark.parametrize("bandwidth", ["scott", "silverman", 0.3])
def test_a_kernel_density_is_scipys(bandwidth):
    codes, labels = toys.clusters()
    sampler = ae.samplers.kernel_density(bandwidth)
    state = sampler.fit(codes, jax.random.key(0), labels)
    at = codes[:50] + RNG.normal(size=(50, 2)).astype(np.float32)
    for label in (0, 1):
        theirs = scipy.stats.gaussian_kde(codes[labels == label].T, bw_method=bandwidth)
        found = scored(sampler, state, at, ZERO + label)
        np.testing.assert_allclose(found, theirs.logpdf(at.T), rtol=1e-3, atol=1e-3)


def brute_force(white, width):
    """Σ_i log Σ_(j ≠ i) N(z_i; z_j, h²) up to a constant."""
    squares = ((white[:, None] - white) ** 2).sum(axis=-1)
    np.fill_diagonal(squares, np.inf)
    logs = scipy.special.logsumexp(-squares / (2 * width**2), axis=1)
    return (logs - white.shape[1] * np.log(width)).sum()


def test_the_held_out_bandwidth_is_the_likeliest_and_copies_do_not_move_it():
    white = np.concatenate([RNG.normal(size=(60, 2)), 9 + RNG.normal(size=(60, 2))]) / 4.6
    widths = scott(white) * WIDTHS
    want = widths[np.argmax([brute_force(white, width) for width in widths])]
    assert held_out(white) == want
    assert want < 0.7 * scott(white)
    doubled = held_out(np.repeat(white, 2, axis=0))
    assert doubled == pytest.approx(want, rel=0.15)


def test_a_flow_starts_as_the_codes_normal_distribution():
    codes = (RNG.normal(size=(40, 3)) * [1, 5, 0.1] + 2).astype(np.float32)
    flow = ae.flows.masked_autoregressive(2, (8,))
    state = {
        "loc": codes.mean(axis=0),
        "scale": codes.std(axis=0),
        "classes": np.eye(1, dtype=np.float32),
        "flow": flow.init(jax.random.key(0), 3, 1),
    }
    want = scipy.stats.norm(state["loc"], state["scale"]).logpdf(codes).sum(axis=1)
    found = scored(ae.samplers.flow(flow), state, codes, np.zeros(40, int))
    np.testing.assert_allclose(found, want, rtol=1e-4)


@pytest.mark.slow
def test_a_flow_learns_what_no_gaussian_can():
    """y = x² + noise: entropy ½ log 2πe + ½ log 2πe 0.01 nats, of which it must come within 0.3."""
    x = np.random.default_rng(2).normal(size=(3000, 1))
    codes = np.concatenate([x, x**2 + 0.1 * np.random.default_rng(3).normal(size=x.shape)], axis=1)
    sampler = ae.samplers.flow(steps=2000)
    state = sampler.fit(codes[:2000], jax.random.key(0))
    found = np.mean(scored(sampler, state, codes[2000:].astype(np.float32), np.zeros(1000, int)))
    entropy = np.log(2 * np.pi * np.e) + np.log(0.1)
    assert found > -entropy - 0.3  # a Gaussian: 2.65 below
