"""Tempered leapfrog against NumPy, the volume that it keeps, and the bound that it gives."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from ae_jax import losses

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(3, 3))
STEP, ROOT, STEPS = np.array([0.1, 0.2, 0.05]), 0.6, 5


def slope(z, tanh=np.tanh):
    """∇U of U = Σ log cosh(M z) + ½‖z‖²."""
    return MATRIX.T @ tanh(MATRIX @ z) + z


def potential(z):
    return jnp.sum(jnp.logaddexp(MATRIX @ z, -MATRIX @ z)) + 0.5 * jnp.sum(z**2)


def inverse_temperatures(root, steps):
    return [((1 - 1 / root) * (k / steps) ** 2 + 1 / root) ** -2 for k in range(steps + 1)]


def reference(z, momentum):
    betas = inverse_temperatures(ROOT, STEPS)
    for k in range(STEPS):
        momentum = momentum - STEP / 2 * slope(z)
        z = z + STEP * momentum
        momentum = momentum - STEP / 2 * slope(z)
        momentum = momentum * np.sqrt(betas[k] / betas[k + 1])
    return z, momentum


def test_it_is_numpys():
    z, momentum = RNG.normal(size=(2, 3))
    cooling = losses.cooling_schedule(ROOT, STEPS)
    np.testing.assert_allclose(np.prod(cooling), ROOT, rtol=1e-6)
    gradient = lambda z: slope(z, jnp.tanh)
    found = losses.tempered_leapfrog(gradient, z, momentum, STEP, cooling)
    for got, want in zip(found, reference(z, momentum), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5)


def test_the_volume_of_place_and_noise_is_kept_and_without_cooling_the_way_leads_back():
    z, noise = jnp.asarray(RNG.normal(size=(2, 3)), jnp.float32)
    gradient = jax.grad(potential)

    def whole(both):
        cooling = losses.cooling_schedule(ROOT, STEPS)
        ends = losses.tempered_leapfrog(gradient, both[:3], both[3:] / ROOT, STEP, cooling)
        return jnp.concatenate(ends)

    jacobian = jax.jacfwd(whole)(jnp.concatenate([z, noise]))
    assert np.linalg.det(np.asarray(jacobian, np.float64)) == pytest.approx(1, abs=1e-5)
    ones = jnp.ones(STEPS)
    there, momentum = losses.tempered_leapfrog(gradient, z, noise, STEP, ones)
    back, turned = losses.tempered_leapfrog(gradient, there, -momentum, STEP, ones)
    np.testing.assert_allclose(back, z, atol=1e-5)
    np.testing.assert_allclose(turned, -noise, atol=1e-5)


def test_the_bound_is_the_joint_density_over_that_of_the_way_there():
    z, noise = RNG.normal(size=(2, 3))
    found = losses.hamiltonian_bound(
        lambda z: -potential(z), z, noise, -2.0, jnp.asarray(STEP), ROOT, STEPS
    )
    end, momentum = reference(z, noise / ROOT)
    normal = scipy.stats.norm.logpdf
    want = -float(potential(end)) + normal(momentum).sum() + 2.0 - normal(noise).sum()
    assert found == pytest.approx(want, rel=1e-4)


@pytest.mark.slow
def test_of_a_linear_gaussian_model_it_is_below_the_likelihood_and_tighter_with_more_steps():
    """Z ~ N(0, I), x ~ N(W z, ¼ I), and q(z | x) = p(z): 8.1 nats lost without a step."""
    weights, x = jnp.array([[1.0, 0.8], [0.2, 1.0], [1.0, -0.5]]), jnp.array([1.0, -0.5, 0.7])
    exact = scipy.stats.multivariate_normal(np.zeros(3), weights @ weights.T + 0.25 * np.eye(3))
    likelihood, normal = exact.logpdf(x), jax.scipy.stats.norm.logpdf

    def log_joint(z):
        return jnp.sum(normal(z)) + jnp.sum(normal(x, weights @ z, 0.5))

    def bounds(learned, steps, draws):
        z, noise = draws[:, 0], draws[:, 1]
        log_qz = jnp.sum(normal(z), axis=1)
        if steps == 0:
            return jax.vmap(log_joint)(z) - log_qz
        step_size, root = 0.5 * jax.nn.sigmoid(learned["step"]), jax.nn.sigmoid(learned["root"])
        one = lambda *row: losses.hamiltonian_bound(log_joint, *row, step_size, root, steps)
        return jax.vmap(one)(z, noise, log_qz)

    def tightest(steps):
        optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 300))
        start = {"step": jnp.full(2, -1.0), "root": jnp.ones(())}

        def step(carry, key):
            learned, state = carry
            draws = jax.random.normal(key, (128, 2, 2))
            grads = jax.grad(lambda learned: -bounds(learned, steps, draws).mean())(learned)
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(learned, updates), state), None

        keys = jax.random.split(jax.random.key(0), 300)
        (learned, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), keys)
        return bounds(learned, steps, jax.random.normal(jax.random.key(1), (20_000, 2, 2)))

    each = [np.asarray(jax.jit(tightest, static_argnums=0)(steps)) for steps in (0, 1, 6)]
    means = [bound.mean() for bound in each]
    for bound in each:
        assert bound.mean() < likelihood
        assert np.log(np.exp(bound - likelihood).mean()) == pytest.approx(0, abs=0.05)  # unbiased
    assert means == sorted(means)
    gaps = likelihood - np.array(means)
    assert gaps[-1] < 0.4 * gaps[0]
