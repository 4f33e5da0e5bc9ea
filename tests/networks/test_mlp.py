"""Multilayer perceptrons against matrix products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.networks.mlp import ACTIVATIONS
from tests import fast


def twice_tanh(x):
    return 2 * jnp.tanh(x)


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


def test_parameters_have_the_shapes_of_the_layers():
    coder = ae.networks.mlp((16, 4)).bind((3, 2))
    params, state = fast.jit(coder.init)(jax.random.key(0), jnp.zeros((2, 5)))
    assert jax.tree.leaves(state) == []
    assert shapes(params) == {
        "dense_0": {"kernel": (10, 16), "bias": (16,)},
        "dense_1": {"kernel": (16, 4), "bias": (4,)},
        "output": {"kernel": (4, 6), "bias": (6,)},
    }
    assert all(not layer["bias"].any() for layer in params.values())


def test_weights_start_with_a_variance_of_one_over_the_width():
    params, _ = fast.jit(ae.networks.linear().bind((400,)).init)(jax.random.key(0), jnp.zeros(250))
    kernel = np.asarray(params["output"]["kernel"], np.float64)
    assert abs(kernel.mean()) < 5 * np.sqrt(1 / 250 / kernel.size)
    assert abs(250 * kernel.var() - 1) < 5 * np.sqrt(2 / kernel.size)


def test_an_mlp_is_products_and_activations():
    coder = ae.networks.mlp((5, 4), "tanh").bind((2, 3))
    x = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
    params, state = fast.jit(coder.init)(jax.random.key(1), x)
    params = jax.tree.map(lambda p: p + 0.1, params)  # biases that matter
    y, activations, _ = fast.jit(coder.apply)(params, state, x)
    layer = lambda name, h: h @ params[name]["kernel"] + params[name]["bias"]
    first = np.tanh(layer("dense_0", x.ravel()))
    second = np.tanh(layer("dense_1", first))
    np.testing.assert_allclose(activations["hidden_0"], first, rtol=1e-5)
    np.testing.assert_allclose(activations["hidden_1"], second, rtol=1e-5)
    np.testing.assert_allclose(y, layer("output", second).reshape(2, 3), rtol=1e-5)
    assert set(activations) == {"hidden_0", "hidden_1"}


def test_linear_is_one_matrix_product():
    coder = ae.networks.linear().bind((7,))
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    params, state = fast.jit(coder.init)(jax.random.key(2), x)
    assert set(params) == {"output"}
    y, activations, _ = coder.apply(params, state, x)
    assert activations == {}
    np.testing.assert_allclose(y, x.ravel() @ params["output"]["kernel"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("event", [(1,), (7,), (3, 5), (8, 8, 1), (3, 37, 53), (2, 2, 2, 2)])
def test_any_shape_in_and_out(event):
    there, back = ae.networks.mlp((3,)).bind((2,)), ae.networks.mlp((3,)).bind(event)
    x, key = jnp.zeros(event), jax.random.key(0)
    run = lambda coder, x: coder.apply(*coder.init(key, x), x)[0]
    code = jax.eval_shape(lambda x: run(there, x), x)
    assert code.shape == (2,)
    assert jax.eval_shape(lambda z: run(back, z), jnp.zeros(2)).shape == event


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", lambda x: np.maximum(x, 0)),
        ("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x)),
        ("elu", lambda x: np.where(x > 0, x, np.expm1(x))),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("softplus", lambda x: np.log1p(np.exp(x))),
        ("tanh", np.tanh),
        ("identity", lambda x: x),
        (f"{__name__}:twice_tanh", lambda x: 2 * np.tanh(x)),
        (jnp.sin, np.sin),
    ],
)
def test_activations_by_name_by_path_and_as_functions(activation, expected):
    coder = ae.networks.mlp((6,), activation).bind((1,))
    x = np.float32([1.5, -0.5])
    params, state = fast.jit(coder.init)(jax.random.key(0), x)
    hidden = coder.apply(params, state, x)[1]["hidden_0"]
    before = x @ np.asarray(params["dense_0"]["kernel"], np.float64)
    assert (before > 0).any()
    assert (before < 0).any()
    np.testing.assert_allclose(hidden, expected(before), rtol=1e-5, atol=1e-6)


def test_every_named_activation_is_finite_with_its_gradient():
    x = jnp.array([-100.0, -1.0, 0.0, 1.0, 100.0])
    both = lambda x: {n: jax.vmap(jax.value_and_grad(f))(x) for n, f in ACTIVATIONS.items()}
    for name, (value, gradient) in fast.jit(both)(x).items():
        assert np.isfinite(value).all(), name
        assert np.isfinite(gradient).all(), name


@pytest.mark.parametrize("activation", ["rellu", 3, "no_such_package:relu"])
def test_an_unknown_activation(activation):
    hint = {"rellu": r"did you mean 'relu'\?", 3: "called '3'"}.get(activation, "cannot import")
    with pytest.raises(ae.errors.ConfigError, match=hint):
        ae.networks.mlp((4,), activation)


@pytest.mark.parametrize(
    ("hidden", "match"),
    [
        ((0,), "got 0"),
        ((8, -1), "got -1"),
        ((2.5,), r"got 2\.5"),
        ((True,), "got True"),
        (64, "hidden must be the widths of the hidden layers, got 64"),
        ("64", "hidden must be the widths of the hidden layers, got '64'"),
    ],
)
def test_widths_that_are_not_positive_whole_numbers_are_refused(hidden, match):
    with pytest.raises(ae.errors.ConfigError, match=match):
        ae.networks.mlp(hidden)
