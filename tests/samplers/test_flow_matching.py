"""Flow matching: its solvers, what it learns, its density and its guidance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import ae_jax as ae
from ae_jax.samplers.flow_matching import SOLVERS
from ae_jax.samplers.sampler import drawn, scored
from tests.samplers import toys


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_a_solvers_error_falls_with_its_order(solver, order):
    """x' = x cos t ends at exp(sin t)."""

    def error(steps):
        h, x = 1.0 / steps, jnp.ones(1)
        for i in range(steps):
            x = SOLVERS[solver](lambda x, t: x * jnp.cos(t), x, jnp.float32(i * h), jnp.float32(h))
        return abs(float(x[0]) - np.exp(np.sin(1.0)))

    assert error(8) / error(16) == pytest.approx(2**order, rel=0.2)


def test_a_step_is_that_of_numpy():
    matrix = np.array([[0.3, -1.0], [0.7, 0.2]])
    field, x, h = (lambda x, t: matrix @ x + t), np.array([1.0, -2.0]), 0.1
    first = field(x, 0.5)
    second = field(x + h * first, 0.6)
    want = {"euler": x + h * first, "heun": x + h * (first + second) / 2}
    for name, step in SOLVERS.items():
        np.testing.assert_allclose(step(field, jnp.asarray(x), 0.5, h), want[name], rtol=1e-6)


@pytest.mark.slow
def test_normal_codes_have_their_normal_density():
    """Of codes N(μ, Σ) the learned density must come near, and more steps change little."""
    rng, mean = np.random.default_rng(4), np.array([3.0, -1.0])
    factor = np.array([[2.0, 0.0], [0.5, 0.1]])
    codes = rng.normal(size=(4000, 2)) @ factor.T + mean
    sampler = ae.samplers.flow_matching((64, 64), steps=1000, learning_rate=3e-3)
    state = sampler.fit(codes[:3000], jax.random.key(0))
    at = codes[3000:].astype(np.float32)
    found = np.asarray(scored(sampler, state, at, np.zeros(1000, int)))
    want = scipy.stats.multivariate_normal(mean, factor @ factor.T).logpdf(at)
    assert found.mean() == pytest.approx(want.mean(), abs=0.1)
    finer = ae.samplers.flow_matching((64, 64), solver_steps=128)
    again = np.asarray(scored(finer, state, at, np.zeros(1000, int)))
    np.testing.assert_allclose(again.mean(), found.mean(), atol=0.02)


@pytest.mark.slow
def test_guidance_of_one_is_none_zero_forgets_labels_and_more_draws_classes_apart():
    state = toys.fitted("flow_matching", True)
    key, places, codes = jax.random.key(0), np.arange(600), toys.clusters()[0]
    made = lambda label, **how: np.asarray(
        drawn(
            ae.samplers.flow_matching((64, 64), **how),
            state,
            key,
            places,
            np.full(len(places), label),
        )
    )
    np.testing.assert_allclose(made(0, guidance=0), made(1, guidance=0), atol=1e-6)
    both = made(0, guidance=0)
    np.testing.assert_allclose(both.mean(axis=0), codes.mean(axis=0), atol=0.35)
    apart = lambda w: made(1, guidance=w)[:, 0].mean() - made(0, guidance=w)[:, 0].mean()
    assert apart(1.0) == pytest.approx(4, abs=0.3)
    assert apart(2.0) > apart(1.0) + 0.2
    assert made(0, solver="euler", solver_steps=400).mean(axis=0) == pytest.approx(
        made(0).mean(axis=0), abs=0.02
    )
