"""Residual encoders and decoders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import ae_jax as ae
from ae_jax.networks.resnet import ResidualBlock
from tests import fast
from tests.networks import checks

RNG = np.random.default_rng(0)
LAYOUT = ("NHWC", "HWIO", "NHWC")
SMALL = {"features": (4, 8), "depth": 1}


def back(**options):
    return ae.networks.resnet_decoder(**(SMALL | {"features": (8, 4)} | options))


@pytest.mark.parametrize("size", [(1, 1), (37, 53, 3), (4, 5, 1, 6)])
def test_any_image_comes_out_at_its_own_size(size):
    if len(size) < 4:
        there = ae.networks.resnet(**SMALL, attention_at=True)
        assert checks.emitted(there, size, (5,)).shape == (5,)
    assert checks.emitted(back(attention_at=8), (5,), size).shape == size


def block_of(**options):
    common = ae.networks.Common(activation=jnp.tanh, normalisation="group")
    return ResidualBlock(
        **({"width": 8, "heads": None, "common": common, "train": False} | options)
    )


def convolved(x, layer):
    y = jax.lax.conv_general_dilated(
        x[None], layer["kernel"], (1, 1), "SAME", dimension_numbers=LAYOUT
    )
    return y[0] + layer["bias"]


def normal(x, layer, groups):
    folded = np.float64(x).reshape(-1, groups, x.shape[-1] // groups)
    mean, var = folded.mean((0, 2), keepdims=True), folded.var((0, 2), keepdims=True)
    folded = ((folded - mean) / np.sqrt(var + 1e-6)).reshape(x.shape)
    return np.float32(folded * layer["scale"] + layer["bias"])


def test_a_block_adds_two_convolutions():
    x, block = RNG.normal(size=(5, 6, 4)).astype(np.float32), block_of()
    params = checks.drawn(jax.eval_shape(block.init, jax.random.key(0), x))["params"]
    y = fast.jit(block.apply)({"params": params}, x)
    h = convolved(np.tanh(normal(x, params["norm_0"], 1)), params["conv_0"])
    h = convolved(np.tanh(normal(h, params["norm_1"], 2)), params["conv_1"])
    skip = x @ params["skip"]["kernel"] + params["skip"]["bias"]
    np.testing.assert_allclose(y, skip + h, rtol=1e-4, atol=1e-4)


def test_a_block_starts_as_the_identity():
    x = jnp.asarray(RNG.normal(size=(3, 4, 8)), jnp.float32)
    start = lambda x: block_of().apply(block_of().init(jax.random.key(0), x), x)
    np.testing.assert_array_equal(fast.jit(start)(x), x)


def test_attention_joins_far_positions():
    x = jnp.asarray(RNG.normal(size=(9, 1, 8)), jnp.float32)
    reached = {}
    for heads in (None, 2):
        block = block_of(heads=heads)
        variables = checks.drawn(jax.eval_shape(block.init, jax.random.key(0), x))
        if heads is not None:  # the rest at zero: what moves is attention's own
            variables["params"]["conv_1"] = jax.tree.map(
                jnp.zeros_like, variables["params"]["conv_1"]
            )
        run = fast.jit(lambda x, v=variables, b=block: b.apply(v, x))
        reached[heads] = np.abs(run(x.at[0].mul(2.0)) - run(x)).max((1, 2)) > 1e-5
    assert reached[2].all()


@pytest.mark.parametrize(
    ("attention_at", "expected"),
    [
        (False, set()),
        (True, {"middle_0"}),
        (2, {"middle_0", "middle_1"}),
        (4, {"middle_0", "middle_1", "stage_1_0"}),
        (8, {"middle_0", "middle_1", "stage_0_0", "stage_1_0"}),
    ],
)
def test_where_attention_is(attention_at, expected):
    x = jax.ShapeDtypeStruct((5, 8, 1), jnp.float32)
    coder = ae.networks.resnet(**SMALL, attention_at=attention_at).bind((3,))
    params, _ = jax.eval_shape(coder.init, jax.random.key(0), x)
    assert {name for name, layer in params.items() if "attention" in layer} == expected


def test_positions_asked_for_are_emitted_one_by_one():
    coder = ae.networks.resnet(**SMALL).bind((2, 3, 5))
    params, _ = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros((8, 11, 1)))
    assert params["output"]["kernel"].shape == (8, 5)
    params, _ = jax.eval_shape(back().bind((8, 11)).init, jax.random.key(0), jnp.zeros((2, 3, 5)))
    assert params["input"]["kernel"].shape == (5, 8)


def test_half_precision_inside_and_full_outside():
    there = ae.networks.resnet(**SMALL, dtype="bfloat16", attention_at=True)
    params, _ = jax.eval_shape(there.bind((3,)).init, jax.random.key(0), jnp.zeros((4, 4, 1)))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.float32.dtype}
    coder = there.bind((3,))
    _, activations, _ = jax.eval_shape(coder.apply, params, {}, jnp.zeros((4, 4, 1)))
    assert activations["features"].dtype == jnp.bfloat16
    assert checks.emitted(there, (4, 4, 1), (3,)).dtype == jnp.float32
    assert checks.emitted(back(dtype="bfloat16"), (3,), (4, 4, 1)).dtype == jnp.float32


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"features": (8, 0)}, "features must be a positive whole number, got 0"),
        ({"depth": 0}, "depth must be a positive whole number, got 0"),
        ({"heads": 3}, "width must be a multiple of heads=3, got 4"),
        ({"attention_at": -1}, "attention_at must be a side in pixels, True or False, got -1"),
        ({"attention_at": "low"}, "attention_at must be a side in pixels.*got 'low'"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1\.0"),
        ({"dtype": "bf16"}, "dtype cannot be 'bf16'"),
        ({"activation": "sillu"}, "did you mean 'silu'"),
        ({"num_classes": 3}, "num_classes=3 says how many labels"),
    ],
)
def test_options_out_of_range(options, match):
    for factory in (ae.networks.resnet, ae.networks.resnet_decoder):
        with pytest.raises(ae.errors.ConfigError, match=match):
            factory(**(SMALL | options))


def test_other_events_are_refused():
    with pytest.raises(ae.errors.ShapeError, match=r"resnet takes images .* got shape \(5,\)"):
        checks.emitted(ae.networks.resnet(**SMALL), (5,), (3,))
    with pytest.raises(ae.errors.ShapeError, match=r"resnet_decoder emits images .*\(5,\)"):
        back().bind((5,))


def test_a_condition_is_appended():
    options, extras = {"condition": "style"}, {"style": jnp.ones(2)}
    there = ae.networks.resnet(**SMALL, **options)
    init = lambda network, shape, x: jax.eval_shape(
        lambda x: network.bind(shape).init(jax.random.key(0), x, extras=extras)[0], x
    )
    assert init(there, (3,), jnp.zeros((4, 4)))["output"]["kernel"].shape == (8 + 2, 3)
    assert init(back(**options), (4, 4), jnp.zeros(3))["input"]["kernel"].shape == (3 + 2, 8)
    with pytest.raises(ae.errors.ConfigError, match=r"extras\['style'\]"):
        checks.emitted(there, (4, 4), (3,))


@pytest.mark.slow
def test_contract():
    options = {"attention_at": True, "dropout": 0.2}
    there = ae.networks.resnet(**SMALL, **options)
    checks.check_coder(there, input_shape=(5, 6, 2))
    checks.check_coder(back(**options), input_shape=(3,), output_shape=(5, 7, 1))


def test_the_groups_are_those_of_the_channels():
    x = jnp.asarray(RNG.normal(size=(3, 2, 12)), jnp.float32)
    expected = nn.GroupNorm(3, reduction_axes=(0, 1, 2))
    variables = expected.init(jax.random.key(0), x)
    own = normal(x, variables["params"], 3)
    np.testing.assert_allclose(expected.apply(variables, x), own, atol=1e-5)
