"""Spectral normalisation against NumPy's singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ae_jax as ae
from ae_jax.training.state import init_state
from ae_jax.training.step import make_step
from tests import fast


def test_a_linear_map_has_a_largest_singular_value_of_one():
    coder = ae.networks.spectral(ae.networks.linear()).bind((3,))
    params, state = coder.init(jax.random.key(0), jnp.zeros(5))
    for _ in range(40):
        state = coder.apply(params, state, jnp.zeros(5), train=True)[2]
    normalised = jax.jacobian(lambda x: coder.apply(params, state, x)[0])(jnp.zeros(5))
    kernel = np.asarray(params["output"]["kernel"], np.float64)
    singular = np.linalg.svd(kernel, compute_uv=False)
    np.testing.assert_allclose(normalised, kernel.T / singular[0], rtol=1e-4, atol=1e-6)


def test_it_is_not_moved_by_evaluation_and_has_the_gradient_of_the_quotient():
    """∂/∂W of tr(AᵀW / σ) is (A - ⟨A, W⟩ uvᵀ / σ) / σ."""
    coder = ae.networks.spectral(ae.networks.linear()).bind((2,))
    params, state = coder.init(jax.random.key(1), jnp.zeros(2))
    state["vectors"] = {"0": jnp.asarray(np.linalg.svd(params["output"]["kernel"])[2][0])}
    again = coder.apply(params, state, jnp.zeros(2))[2]
    np.testing.assert_array_equal(again["vectors"]["0"], state["vectors"]["0"])
    rows, weights = jnp.eye(2), jnp.asarray(np.random.default_rng(0).normal(size=(2, 2)))

    def loss(params):
        out = jax.vmap(lambda x: coder.apply(params, state, x)[0])(rows)
        return jnp.sum(out * weights)

    kernel = np.asarray(params["output"]["kernel"], np.float64)
    left, singular, right = np.linalg.svd(kernel)
    outer = np.outer(left[:, 0], right[0])
    wanted = (weights - np.sum(weights * kernel) / singular[0] * outer) / singular[0]
    got = jax.grad(loss)(params)["output"]["kernel"]
    np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5)


def test_a_critic_so_normalised_is_moved_by_its_own_player_alone():
    critic = ae.networks.spectral(ae.networks.mlp((8,), "leaky_relu"))
    parts = None, ae.networks.mlp((8,)), ae.bottlenecks.identity(2, prior="standard_normal")
    more = {"event_shape": (4,), "critics": {"critic": critic}}
    model = ae.autoencoder(*parts, ae.likelihoods.implicit(), **more)
    generator = ae.Player(("decoder",), ae.terms.generator(), optax.sgd(0.1))
    rival = ae.Player(("critic",), ae.terms.discriminator(), optax.sgd(0.1), name="critic")
    batch = ae.Batch(jnp.ones((8, 4)))
    alone = (generator._replace(params=("critic", "decoder")), rival)

    def vectors(players):
        state = init_state(model, alone, jnp.zeros(4), 0)
        step = make_step(model, players, 100)
        new = step(state, batch)[0].variables
        return state.variables.state["critic"]["vectors"], new.state["critic"]["vectors"]

    before, after = fast.jit(lambda: vectors((generator, rival)))()
    assert not np.array_equal(before["0"], after["0"])  # that of one output is 1 throughout
    before, after = fast.jit(lambda: vectors((generator,)))()
    assert all(np.array_equal(before[name], after[name]) for name in before)
