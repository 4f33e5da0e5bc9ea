"""SimVQ and index backpropagation: how the gradient reaches a whole codebook; groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import ae_jax as ae
from tests import fast
from tests.reference import quantization as reference

N, D, CODES = 4, 3, 5
FEATURES, WEIGHTS = np.random.default_rng(0).normal(size=(2, N, D)).astype(np.float32)


def test_the_codebook_of_sim_vq_is_a_map_of_fixed_vectors_that_moves_as_a_whole():
    bottleneck = ae.bottlenecks.sim_vq((N, D), 2000)
    params, state = bottleneck.init(jax.random.key(0))
    assert abs(np.std(state["frozen"]) - D**-0.5) < 0.02
    params = {"basis": jnp.asarray(np.random.default_rng(1).normal(size=(D, D)), jnp.float32)}

    def pull(params, state):
        q = bottleneck.posterior(params, state, FEATURES)
        return ae.losses.codebook(q.features, q.codes), q

    run = fast.jit(jax.grad(pull, argnums=(0, 1), has_aux=True))
    (to_params, to_state), q = run(params, state)
    frozen = np.float64(state["frozen"])
    codebook = frozen @ np.float64(params["basis"])
    numbers = reference.nearest(FEATURES, codebook)
    np.testing.assert_array_equal(q.numbers, numbers)
    np.testing.assert_allclose(q.value, codebook[numbers], rtol=1e-4, atol=1e-5)
    wanted = frozen[numbers].T @ (2 * (codebook[numbers] - FEATURES))
    np.testing.assert_allclose(to_params["basis"], wanted, rtol=1e-3, atol=1e-4)
    assert not to_state["frozen"].any()  # never moved


def test_index_backpropagation_reaches_every_code():
    bottleneck = ae.bottlenecks.ibq((N, D), CODES)
    params, state = bottleneck.init(jax.random.key(0))

    def weighted(params, features):
        q = bottleneck.posterior(params, state, features)
        return jnp.sum(WEIGHTS * q.value), q

    run = fast.jit(jax.grad(weighted, argnums=(0, 1), has_aux=True))
    (to_params, to_features), q = run(params, FEATURES)
    codebook, x, w = map(np.float64, (params["codebook"], FEATURES, WEIGHTS))
    logits = -np.sum((x[:, None] - codebook) ** 2, axis=-1)
    soft, numbers = special.softmax(logits, axis=1), reference.nearest(x, codebook)
    np.testing.assert_array_equal(q.numbers, numbers)
    np.testing.assert_array_equal(q.value, np.asarray(params["codebook"])[numbers])
    by_code = w @ codebook.T
    to_logits = soft * (by_code - np.sum(soft * by_code, axis=1, keepdims=True))
    direct = np.eye(CODES)[numbers].T @ w
    apart = 2 * (x[:, None] - codebook)  # the slope of a logit by its code
    wanted = direct + np.einsum("nk,nkd->kd", to_logits, apart)
    np.testing.assert_allclose(to_params["codebook"], wanted, rtol=1e-4, atol=1e-5)
    wanted = -np.einsum("nk,nkd->nd", to_logits, apart)
    np.testing.assert_allclose(to_features, wanted, rtol=1e-4, atol=1e-5)
    assert np.all(np.abs(to_params["codebook"]).sum(1) > 0)


def test_groups_are_quantisers_side_by_side():
    node = {"name": "fsq", "levels": [5, 3]}
    bottleneck, own = ae.bottlenecks.grouped((2, 4), 2, of=node), ae.bottlenecks.fsq((2, 2), (5, 3))
    x = np.random.default_rng(2).normal(size=(2, 4)).astype(np.float32)
    q = bottleneck.posterior({}, {}, jnp.asarray(x))
    parts = [own.posterior({}, {}, jnp.asarray(x[:, i : i + 2])) for i in (0, 2)]
    np.testing.assert_array_equal(q.mean, np.concatenate([p.value for p in parts], -1))
    np.testing.assert_array_equal(q.numbers, np.stack([p.numbers for p in parts], -1))
    built = ae._registry.BOTTLENECKS.build(bottleneck.node.to_dict())  # as from a config
    assert built.node == bottleneck.node


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((6, 4), "groups=4 does not divide the 6 dimensions of a code: take one of 1, 2, 3, 6"),
        ((6, 0), "groups must be a positive whole number, got 0"),
        ((6, 2, "gaussian"), "'gaussian' is no quantiser to be grouped; known: vector_quantized"),
        ((6, 2, "fsk"), "no bottleneck is called 'fsk'; did you mean 'fsq'"),
        ((6, 2, {"name": "fsq", "latent_dim": 3}), "whose latent_dim follows from the groups"),
    ],
)
def test_bad_groups_are_refused(arguments, message):
    with pytest.raises(ae.errors.ConfigError, match=message):
        ae.bottlenecks.grouped(*arguments)
    for name in ("sim_vq", "ibq"):
        with pytest.raises(ae.errors.ConfigError, match="num_codes must be a positive whole"):
            getattr(ae.bottlenecks, name)(3, 0)
