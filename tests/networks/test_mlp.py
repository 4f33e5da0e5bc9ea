"""Multilayer perceptrons against matrix products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.networks import _layers
from ae_jax.networks.activations import ACTIVATIONS
from tests import fast
from tests.networks import checks


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


@pytest.mark.parametrize("kind", ["batch", "group", "layer"])
def test_normalisation_stands_before_the_activation(kind):
    x = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    network = ae.networks.mlp((8,), "identity", normalisation=kind)
    coder, params, state = checks.initialised(network, x[0], (2,))
    assert set(params["norm_0"]) == {"scale", "bias"}
    run = lambda x: coder.apply(params, state, x, train=True)[1]["hidden_0"]
    hidden = fast.jit(jax.vmap(run, axis_name="batch"))(x)
    before = np.float64(x @ params["dense_0"]["kernel"] + params["dense_0"]["bias"])
    axis, shape = {
        "batch": (0, (16, 8)),
        "layer": (1, (16, 8)),
        "group": (2, (16, 2, 4)),
    }[kind]
    before = before.reshape(shape)
    mean, var = before.mean(axis, keepdims=True), before.var(axis, keepdims=True)
    eps = 1e-5 if kind == "batch" else 1e-6
    normal = ((before - mean) / np.sqrt(var + eps)).reshape(16, 8)
    expected = normal * params["norm_0"]["scale"] + params["norm_0"]["bias"]
    np.testing.assert_allclose(hidden, expected, rtol=1e-4, atol=1e-4)


def test_dropout_zeroes_its_share_and_scales_the_rest_in_training_only():
    coder = ae.networks.mlp((400,), dropout=0.25).bind((400,))
    x = jnp.ones(1)
    params = {
        "dense_0": {"kernel": jnp.ones((1, 400)), "bias": jnp.zeros(400)},
        "output": {"kernel": jnp.eye(400), "bias": jnp.zeros(400)},
    }
    assert (coder.apply(params, {}, x)[0] == 1).all()
    y, activations, _ = coder.apply(params, {}, x, key=jax.random.key(0), train=True)
    assert set(np.round(np.unique(y), 5)) == {0, np.round(np.float32(4 / 3), 5)}
    assert abs((y == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 400)
    assert (activations["hidden_0"] == 1).all()


def test_half_precision_inside_and_full_outside():
    x = jnp.asarray(np.random.default_rng(0).normal(size=6), jnp.float32)
    coder, params, state = checks.initialised(ae.networks.mlp((8,), dtype="bfloat16"), x, (3,))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.float32.dtype}
    y, activations, _ = coder.apply(params, state, x)
    assert (y.dtype, activations["hidden_0"].dtype) == (jnp.float32, jnp.bfloat16)
    plain = ae.networks.mlp((8,)).bind((3,)).apply(params, state, x)[0]
    assert 0 < np.abs(y - plain).max() < 0.05 * np.abs(plain).max()


@pytest.mark.parametrize(
    ("value", "num_classes", "expected"),
    [
        (np.int32(2), 3, [0, 0, 1]),
        (np.uint8([1]), 3, [0, 1, 0]),
        (np.int32(7), 3, [0, 0, 0]),
        (np.float32([[0.5, -2.0]]), None, [0.5, -2.0]),
        (np.int32([1, 0, 1]), None, [1, 0, 1]),
    ],
)
def test_a_condition_is_appended_to_the_input(value, num_classes, expected):
    network = ae.networks.mlp((), condition="style", num_classes=num_classes)
    x, extras = np.float32([3.0, 4.0]), {"style": value, "other": np.float32(9)}
    coder, params, state = checks.initialised(network, x, (2,), extras=extras)
    y = coder.apply(params, state, x, extras=extras)[0]
    whole = np.concatenate([x, expected])
    kernel, bias = params["output"]["kernel"], params["output"]["bias"]
    assert kernel.shape == (2 + len(expected), 2)
    np.testing.assert_allclose(y, whole @ kernel + bias, rtol=1e-5)


@pytest.mark.parametrize(
    ("extras", "num_classes", "match"),
    [
        (None, 3, r"conditioned on extras\['label'\], which it was not given\. Known: none"),
        ({"lable": np.int32(1)}, 3, r"extras\['label'\].*did you mean 'lable'\?"),
        ({"label": np.float32(1)}, 3, "must be one whole-numbered label, got float32"),
        ({"label": np.int32([1, 2])}, 3, r"must be one .* got int32 of shape \(2,\)"),
        ({"label": np.int32(1)}, None, "is a label: say how many there are, num_classes="),
    ],
)
def test_conditions_that_cannot_be(extras, num_classes, match):
    coder = ae.networks.mlp((), condition="label", num_classes=num_classes).bind((2,))
    with pytest.raises(ae.errors.ConfigError, match=match):
        coder.init(jax.random.key(0), jnp.zeros(3), extras=extras)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"normalisation": "batches"}, "normalisation cannot be 'batches'; did you mean 'batch'"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\), got -0\.1"),
        ({"dropout": True}, r"dropout must lie in \[0, 1\), got True"),
        ({"dtype": "int32"}, "dtype cannot be 'int32'"),
        ({"num_classes": 4}, "num_classes=4 says how many labels there are: name the entry"),
        ({"condition": "label", "num_classes": 0}, "num_classes must be a positive whole number"),
        ({"condition": ""}, "condition must be the name of an entry of extras, got ''"),
    ],
)
def test_options_out_of_range(options, match):
    with pytest.raises(ae.errors.ConfigError, match=match):
        ae.networks.mlp((4,), **options)


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (3, 1), (8, 2), (12, 3), (20, 5), (37, 1), (64, 16), (512, 32)]
)
def test_groups_divide_the_channels_and_hold_four_or_more(channels, groups):
    assert _layers.group_count(channels) == groups


@pytest.mark.slow
def test_contract():
    network = ae.networks.mlp((8,), normalisation="batch", dropout=0.2)
    checks.check_coder(network, devices=(2,))
    conditioned = ae.networks.mlp((8,), condition="label", num_classes=3).bind((4,))
    label = lambda x: (x, {"extras": {"label": (10 * jnp.abs(x[0])).astype(jnp.int32) % 3}})
    checks.check_coder(checks.wrapped(conditioned, label))
