"""Convolutional encoders and decoders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ae_jax as ae
from tests import fast
from tests.networks import checks

LAYOUT = ("NHWC", "HWIO", "NHWC")


@settings(max_examples=12, deadline=None)
@given(
    size=st.tuples(st.integers(1, 61), st.integers(1, 61)),
    rest=st.sampled_from([(), (1,), (3,)]),
    stride=st.integers(1, 3),
    kernel=st.integers(1, 5),
)
def test_any_image_comes_out_at_its_own_size(size, rest, stride, kernel):
    options = {"kernel": kernel, "stride": stride, "normalisation": "group"}
    there, back = (getattr(ae.networks, n)((4, 8), **options) for n in ("conv", "deconv"))
    assert checks.emitted(there, (*size, *rest), (5,)).shape == (5,)
    assert checks.emitted(back, (5,), (*size, *rest)).shape == (*size, *rest)


def test_an_image_of_classes():
    back = ae.networks.deconv((4,))
    assert checks.emitted(back, (2,), (5, 6, 3, 7)).shape == (5, 6, 3, 7)


def test_the_encoder_is_convolutions_activations_and_a_product():
    x = np.random.default_rng(0).normal(size=(7, 9, 2)).astype(np.float32)
    coder, params, state = checks.initialised(ae.networks.conv((3, 4), activation="tanh"), x, (5,))
    y, activations, _ = fast.jit(coder.apply)(params, state, x)
    h = x[None]
    for i in range(2):
        layer = params[f"conv_{i}"]
        h = jax.lax.conv_general_dilated(
            h, layer["kernel"], (2, 2), "SAME", dimension_numbers=LAYOUT
        )
        h = np.tanh(h + layer["bias"])
        np.testing.assert_allclose(activations[f"hidden_{i}"], h[0], rtol=1e-4, atol=1e-5)
    expected = h.ravel() @ params["output"]["kernel"] + params["output"]["bias"]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    assert set(activations) == {"hidden_0", "hidden_1"}


def test_the_decoder_is_a_product_activations_and_transposed_convolutions():
    z = np.random.default_rng(0).normal(size=3).astype(np.float32)
    network = ae.networks.deconv((4, 3), activation="tanh")
    coder, params, state = checks.initialised(network, z, (8, 12, 2))
    y, activations, _ = fast.jit(coder.apply)(params, state, z)
    layer = lambda name: (params[name]["kernel"], params[name]["bias"])
    kernel, bias = layer("input")
    h = np.tanh(z @ kernel + bias).reshape(1, 2, 3, 4)
    np.testing.assert_allclose(activations["hidden_0"], h[0], rtol=1e-4, atol=1e-5)
    for i in range(2):
        kernel, bias = layer(f"conv_{i}")
        h = jax.lax.conv_transpose(h, kernel, (2, 2), "SAME") + bias
        h = h if i else np.tanh(h)
    np.testing.assert_allclose(y, h[0], rtol=1e-4, atol=1e-5)


def test_weights_start_so_that_the_variance_stays():
    z, size = jnp.asarray(np.random.default_rng(1).normal(size=(64, 64)), jnp.float32), (32, 32, 8)
    coder = ae.networks.deconv((64, 32, 16), activation="identity").bind(size)
    params, state = fast.jit(coder.init)(jax.random.key(0), z[0])
    y = fast.jit(jax.vmap(lambda z: coder.apply(params, state, z)[0]))(z)
    inside = np.asarray(y)[:, 8:-8, 8:-8]
    assert 0.6 < inside.var() < 1.6


def test_positions_asked_for_are_emitted_one_by_one():
    x = np.random.default_rng(0).normal(size=(8, 8, 1)).astype(np.float32)
    coder, params, state = checks.initialised(ae.networks.conv((4,), kernel=2), x, (4, 4, 3))
    assert params["output"]["kernel"].shape == (4, 3)
    run = fast.jit(lambda x: coder.apply(params, state, x)[0])
    moved = np.abs(run(x) - run(x + np.eye(8)[0][:, None, None] * np.eye(8)[0][:, None])) > 0
    assert moved.any(-1).sum() == 1  # kernels as large as strides: one pixel is in one position
    back, params, _ = checks.initialised(ae.networks.deconv((4,)), x[:4, :4], (8, 8, 2))
    assert params["input"]["kernel"].shape == (1, 4)
    assert back.apply(params, {}, x[:4, :4])[0].shape == (8, 8, 2)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5)])
def test_other_events_are_refused(shape):
    with pytest.raises(ae.errors.ShapeError, match=r"takes images \[H, W\] or \[H, W, C\], got"):
        checks.emitted(ae.networks.conv(), shape, (5,))
    if len(shape) < 2:
        with pytest.raises(ae.errors.ShapeError, match=r"deconv emits images \[H, W, …\], got"):
            ae.networks.deconv().bind(shape)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"features": ()}, r"features must be the widths of the layers, got \(\)"),
        ({"features": (8, 0)}, "features must be a positive whole number, got 0"),
        ({"kernel": 0}, "kernel must be a positive whole number, got 0"),
        ({"stride": 1.5}, r"stride must be a positive whole number, got 1\.5"),
        ({"normalisation": "grop"}, "'grop'; did you mean 'group'"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1\.0"),
        ({"dtype": "bf16"}, "dtype cannot be 'bf16'; did you mean 'bfloat16'"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"num_classes": 3}, "num_classes=3 says how many labels"),
    ],
)
def test_options_out_of_range(options, match):
    for factory in (ae.networks.conv, ae.networks.deconv):
        with pytest.raises(ae.errors.ConfigError, match=match):
            factory(**options)


@pytest.mark.parametrize("factory", ["conv", "deconv"])
def test_a_label_is_appended(factory):
    shapes = {"conv": ((6, 5, 1), (3,)), "deconv": ((3,), (6, 5, 1))}[factory]
    network = getattr(ae.networks, factory)((4,), condition="label", num_classes=3)
    x, extras = jnp.ones(shapes[0]), {"label": jnp.int32(1)}
    coder, params, state = checks.initialised(network, x, shapes[1], extras=extras)
    run = fast.jit(lambda label: coder.apply(params, state, x, extras={"label": label})[0])
    rows = [np.asarray(run(jnp.int32(i))) for i in range(3)]
    layer, before = ("output", 3 * 3 * 4) if factory == "conv" else ("input", 3)
    kernel = params[layer]["kernel"]
    assert kernel.shape[0] == before + 3
    if factory == "conv":
        np.testing.assert_allclose(rows[2] - rows[0], kernel[-1] - kernel[-3], atol=1e-5)
    assert np.abs(rows[1] - rows[0]).max() > 1e-3
    with pytest.raises(ae.errors.ConfigError, match=r"extras\['label'\], which it was not given"):
        coder.apply(params, state, x)


def test_half_precision_inside_and_full_outside():
    network = ae.networks.conv((4,), dtype="bfloat16")
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 6, 1)), jnp.float32)
    coder, params, state = checks.initialised(network, x, (3,))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.float32.dtype}
    y, activations, _ = fast.jit(coder.apply)(params, state, x)
    assert (y.dtype, activations["hidden_0"].dtype) == (jnp.float32, jnp.bfloat16)
    plain = ae.networks.conv((4,)).bind((3,)).apply(params, state, x)[0]
    assert 0 < np.abs(y - plain).max() < 0.05 * np.abs(plain).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        (ae.networks.conv((4,), normalisation="batch", dropout=0.2), ((5, 6, 2), (3,))),
        (ae.networks.deconv((4,), normalisation="group", dropout=0.2), ((3,), (5, 7, 1))),
    ],
    ids=["conv", "deconv"],
)
def test_contract(network, shapes):
    checks.check_coder(network, input_shape=shapes[0], output_shape=shapes[1], devices=(2,))
