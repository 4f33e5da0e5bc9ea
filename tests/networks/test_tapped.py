"""Encoders that emit numbers on their way up."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import ae_jax as ae
from tests import fast
from tests.networks import checks

RNG = np.random.default_rng(0)


def test_taps_of_dense_layers_are_products_side_by_side():
    x = RNG.normal(size=(2, 3)).astype(np.float32)
    network = ae.networks.tapped_mlp((4, 2), width=5, depth=2)
    coder, params, state = checks.initialised(network, x, (6,))
    y, activations, _ = fast.jit(coder.apply)(params, state, x)
    of = lambda name, h: h @ params[name]["kernel"] + params[name]["bias"]
    h, emitted = x.astype(np.float64).ravel(), []
    for level in range(2):
        for i in range(2):
            h = of(f"dense_{level}_{i}", h)
            h = h * special.expit(h)
        np.testing.assert_allclose(activations[f"hidden_{level}"], h, rtol=1e-5, atol=1e-6)
        emitted.append(of(f"tap_{level}", h))
    np.testing.assert_allclose(y, np.concatenate(emitted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((28, 28, 1), [(14, 14), (7, 7), (4, 4)]),
        ((28, 28), [(28, 28), (14, 14)]),
        ((27, 31, 3), [(7, 8), (4, 4), (2, 2)]),
        ((2, 1), [(1, 1)]),
    ],
)
def test_an_image_is_halved_until_it_has_the_taps_positions(size, sizes):
    taps = [(*positions, 3) for positions in sizes]
    total = sum(map(math.prod, taps))
    assert checks.emitted(ae.networks.tapped_conv(taps, width=4), size, (total,)).shape == (total,)


@pytest.mark.parametrize("size", [(28, 28, 1), (15, 15, 1), (3, 3)])
def test_positions_that_no_image_has_are_refused(size):
    network = ae.networks.tapped_conv(((6, 6, 1), (3, 3, 1)), width=4)
    with pytest.raises(ae.errors.ShapeError, match=rf"image of shape \({size[0]}, {size[1]}\)"):
        checks.emitted(network, size, (45,))


def test_a_tap_tells_of_its_own_positions():
    """Of an image that is 0 but in a corner, without biases, nothing is emitted far away."""
    network = ae.networks.tapped_conv(((16, 16, 2), (8, 8, 1)), width=4, depth=1)
    blank = jnp.zeros((16, 16, 1))
    coder, params, state = checks.initialised(network, blank, (576,))
    params = jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else jnp.zeros_like(leaf), params)
    y = fast.jit(lambda x: coder.apply(params, state, x)[0])(blank.at[0, 0].set(1.0))
    first, second = np.abs(y[:512].reshape(16, 16, 2)), np.abs(y[512:].reshape(8, 8))
    assert min(first[0, 0].max(), second[0, 0]) > 0
    assert first[8:, 8:].max() == 0 == second[6:, 6:].max()


@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        (
            ae.networks.tapped_mlp((2, 1), 4, 1, normalisation="batch", dropout=0.2),
            ((5, 6), (3,)),
        ),
        pytest.param(
            ae.networks.tapped_conv(((3, 3, 2), (2, 2, 1)), width=4, dropout=0.2),
            ((5, 6, 2), (22,)),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["mlp", "conv"],
)
def test_the_contract(network, shapes):
    checks.check_coder(network, input_shape=shapes[0], output_shape=shapes[1])


def test_a_condition_is_told_to_the_first_layer():
    network = ae.networks.tapped_mlp((2, 1), 4, 1, condition="label", num_classes=3)
    coder, extras = network.bind((3,)), {"label": jnp.int32(1)}
    params, _ = jax.eval_shape(lambda: coder.init(jax.random.key(0), jnp.zeros(5), extras=extras))
    assert params["dense_0_0"]["kernel"].shape == (8, 4)
