"""Recurrent and attention networks for tokens and series."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ae_jax as ae
from ae_jax.benchmarking.pods import programs
from ae_jax.networks import _attention
from ae_jax.ops import kernels
from tests import fast
from tests.networks import checks

RNG = np.random.default_rng(0)
LENGTH, VOCABULARY, CHANNELS = 6, 5, 2
SMALL = {
    "gru": {"width": 8, "depth": 1},
    "transformer": {"width": 8, "depth": 2, "heads": 2},
}
KINDS = ["tokens", "series"]


def encoder(name, kind="tokens", **options):
    vocabulary = VOCABULARY if kind == "tokens" else None
    return getattr(ae.networks, name)(vocabulary, **(SMALL[name] | options))


def decoder(name, kind="tokens", **options):
    vocabulary = VOCABULARY if kind == "tokens" else None
    return getattr(ae.networks, f"{name}_decoder")(vocabulary, **(SMALL[name] | options))


def sequence(kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "tokens":
        return rng.integers(0, VOCABULARY, LENGTH).astype(np.int32)
    return rng.normal(size=(LENGTH, CHANNELS)).astype(np.float32)


@settings(max_examples=8, deadline=None)
@given(
    length=st.integers(1, 9),
    size=st.integers(1, 3),
    name=st.sampled_from(sorted(SMALL)),
    kind=st.sampled_from(KINDS),
    again=st.booleans(),
)
def test_any_sequence_comes_out_at_its_own_size(length, size, name, kind, again):
    emitted = checks.emitted
    if kind == "tokens":
        assert emitted(encoder(name), (length,), (2, 3), jnp.int32).shape == (2, 3)
        shape, per_entry = (length, VOCABULARY), 1
    else:
        assert emitted(encoder(name, kind), (length, size), (4,)).shape == (4,)
        shape, per_entry = (length, 2 * size), 2
    back = decoder(name, kind, autoregressive=again, per_entry=per_entry)
    assert emitted(back, (2, 2), shape).shape == shape


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("gru", {}, "tokens"),
        ("transformer", {}, "tokens"),
        ("transformer", {"pool": "mean"}, "series"),
        ("transformer", {"pool": "none"}, "tokens"),
    ],
)
def test_padding_changes_nothing(name, options, kind):
    x, other, valid = sequence(kind), sequence(kind, 1), 4
    shape = (LENGTH, 3) if options.get("pool") == "none" else (3,)
    coder, params, state = checks.initialised(encoder(name, kind, **options), x, shape)
    extras = {"length": jnp.int32(valid)}
    run = fast.jit(lambda x, extras: coder.apply(params, state, x, extras=extras)[0])
    y = run(x, extras)
    padded = np.concatenate([x[:valid], other[valid:]])
    np.testing.assert_array_equal(run(padded, extras)[:valid], y[:valid])
    assert np.abs(run(padded, {}) - run(x, {})).max() > 1e-4
    inside = np.concatenate([other[: valid - 1], x[valid - 1 :]])
    assert np.abs(run(inside, extras) - y).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "options"), [("gru", {"depth": 2}), ("transformer", {"pool": "mean"})]
)
def test_a_padded_sequence_is_the_shorter_one(name, options):
    x, valid = sequence("series"), 4
    coder, params, state = checks.initialised(encoder(name, "series", **options), x, (3,))
    run = fast.jit(lambda params, x, extras: coder.apply(params, state, x, extras=extras)[0])
    padded = run(params, x, {"length": jnp.int32(valid)})
    if "positions" in params:
        params = params | {"positions": params["positions"][:valid]}
    np.testing.assert_allclose(padded, run(params, x[:valid], {}), atol=1e-5)


def test_a_sequence_of_no_length_is_finite():
    x, extras = sequence("tokens"), {"length": jnp.int32(0)}
    for name in SMALL:
        coder, params, state = checks.initialised(encoder(name), x, (3,))
        y = fast.jit(lambda p: coder.apply(p, state, x, extras=extras)[0])(params)  # noqa: B023
        assert np.isfinite(y).all()


@pytest.mark.parametrize("name", SMALL)
def test_a_parallel_decoder_does_not_see_the_padding_of_its_latent(name):
    z = RNG.normal(size=(LENGTH, 3)).astype(np.float32)  # a latent a position
    coder, params, state = checks.initialised(decoder(name), z, (LENGTH, VOCABULARY))
    assert params["input"]["kernel"].shape == (3, 8)
    run = fast.jit(lambda z, extras: coder.apply(params, state, z, extras=extras)[0])
    extras, moved = {"length": jnp.int32(4)}, z + (np.arange(LENGTH) >= 4)[:, None]
    np.testing.assert_array_equal(run(moved, extras)[:4], run(z, extras)[:4])
    seen = np.abs(run(moved, {}) - run(z, {}))[:4].max() > 1e-4
    assert seen == (name == "transformer")  # a recurrent one never looks ahead


@pytest.mark.parametrize("name", SMALL)
def test_missing_entries(name):
    x = sequence("tokens")
    coder, params, state = checks.initialised(encoder(name), x, (3,))
    run = fast.jit(lambda x, observed: coder.apply(params, state, x, observed=observed)[0])
    seen = np.arange(LENGTH) != 2
    masked = run(np.where(seen, x, VOCABULARY), np.ones(LENGTH, bool))
    np.testing.assert_array_equal(run(np.where(seen, x, 0), seen), masked)
    np.testing.assert_array_equal(run(np.where(seen, x, -1), seen), masked)
    assert np.abs(run(x, seen | True) - masked).max() > 1e-4
    whole = fast.jit(coder.apply)(params, state, x.astype(np.float32))[0]
    np.testing.assert_allclose(whole, run(x, seen | True), atol=1e-6)

    x = sequence("series")
    coder, params, state = checks.initialised(encoder(name, "series"), x, (3,))
    run = fast.jit(lambda x, observed: coder.apply(params, state, x, observed=observed)[0])
    seen = RNG.random(x.shape) < 0.5
    np.testing.assert_array_equal(run(x, seen), run(np.where(seen, x, 9), seen))
    zeroed = np.where(seen, x, 0)
    assert np.abs(run(zeroed, seen) - run(zeroed, seen | True)).max() > 1e-4


def test_attention_is_a_softmax_of_products():
    query, key, value = RNG.normal(size=(3, 4, 2, 3)).astype(np.float32)
    mask = np.tri(4, dtype=bool)
    for use in (None, mask):
        y = _attention.attend(*map(jnp.asarray, (query, key, value)), use)
        for head in range(2):
            scores = np.float64(query[:, head]) @ np.float64(key[:, head]).T / np.sqrt(3)
            weights = np.exp(scores) * (1 if use is None else use)
            weights /= weights.sum(-1, keepdims=True)
            np.testing.assert_allclose(y[:, head], weights @ value[:, head], atol=1e-6)


@pytest.mark.parametrize("n", [7, 8])  # on a GPU cuDNN's kernels, which take even numbers
def test_attention_in_half_precision_is_that_in_float32(n):
    def attended(dtype, *parts):
        one = lambda *one: _attention.attend(*(x.astype(dtype) for x in one))
        return jax.vmap(one)(*parts).astype(jnp.float32)

    parts = jnp.asarray(RNG.normal(size=(3, 5, n, 2, 8)), jnp.bfloat16)  # of five examples
    cotangent = jnp.asarray(RNG.normal(size=(5, n, 2, 8)), jnp.float32)
    half, exact = (
        jax.vjp(functools.partial(attended, dtype), *parts.astype(jnp.float32))
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    np.testing.assert_allclose(half[0], exact[0], atol=0.02)
    for got, wanted in zip(half[1](cotangent), exact[1](cotangent), strict=True):
        np.testing.assert_allclose(got, wanted, atol=0.05)


@pytest.fixture
def fused(monkeypatch):
    """As on a GPU, as far as a program is traced there."""
    from jax._src.cudnn import fused_attention_stablehlo as cudnn

    monkeypatch.setattr(kernels, "has_attention", lambda: True)
    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91_000)
    monkeypatch.setattr(cudnn, "check_compute_capability", lambda _: True)


def half_vit():
    options = {"width": 16, "heads": 2, "depth": 1, "dtype": "bfloat16"}
    return ae.networks.vit(2, **options), ae.networks.vit_decoder(2, **options)


@pytest.mark.parametrize("n", [7, 8])
def test_on_a_gpu_attention_in_half_precision_is_one_operation_each_way(n, fused):
    x = jnp.ones((3, n, 2, 8), jnp.bfloat16)
    total = lambda dtype: lambda x: jnp.sum(jax.vmap(_attention.attend)(*[x.astype(dtype)] * 3))
    names = ("dot_product_attention_fwd", "dot_product_attention_bwd")
    taken = str(jax.make_jaxpr(jax.grad(total(jnp.bfloat16)))(x))
    assert all(name in taken for name in names)
    assert "dot_product_attention" not in str(jax.make_jaxpr(jax.grad(total(jnp.float32)))(x))
    with kernels.without_kernels():
        plain = jax.make_jaxpr(jax.grad(lambda x: total(jnp.bfloat16)(x)))(x)
    assert "dot_product_attention" not in str(plain)


def test_on_a_gpu_penalties_on_jacobians_differentiate_twice(fused):
    encoder, decoder = half_vit()
    penalty = ae.terms.contractive(probes=1) + ae.terms.decoder_gradient()
    recipe = ae.recipes.autoencoder(4, encoder=encoder, decoder=decoder)
    recipe = recipe._replace(objective=recipe.objective + penalty)
    model, objective = recipe.build(ae.types.Spec((4, 4, 1), "real"))
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((4, 4, 1))).params
    draws = ae.keys.for_examples(jax.random.key(0), 0, jnp.arange(2))
    batch = ae.types.Batch(jnp.zeros((2, 4, 4, 1)))

    def loss(params):
        own = ae.Variables(params, {})
        outputs, _ = model.forward(own, batch, draws, train=True)
        return objective(outputs, ae.types.Context(model, own, batch, draws, jnp.int32(0), 8))[0]

    traced = str(jax.make_jaxpr(jax.grad(loss))(params))
    assert "dot_product_attention_bwd" in traced


def test_on_a_gpu_the_work_of_a_step_is_counted_as_elsewhere(request):
    def counted():
        encoder, decoder = half_vit()
        made = ae.config.for_recipe(ae.recipes.autoencoder(4, encoder=encoder, decoder=decoder))
        made["data"] |= {
            "spec": {"shape": (4, 4, 1), "dtype": "float32", "num_train": 8, "num_test": 8},
            "preprocessing": {"name": "scale", "low": 0.0, "high": 1.0},
        }
        return programs.model_flops(made, 2).total

    elsewhere = counted()
    request.getfixturevalue("fused")
    assert counted() == elsewhere > 0


def test_without_blocks_positions_are_normalised_one_by_one():
    x, shape = sequence("tokens"), (LENGTH, VOCABULARY)

    def normalised(h, params):
        h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
        return h * params["scale"] + params["bias"]

    there, p, state = checks.initialised(encoder("transformer", depth=0), x, (3,))
    h = normalised(p["embedding"]["entries"]["embedding"][x] + p["positions"], p["stack"]["norm"])
    expected = h.ravel() @ p["output"]["kernel"] + p["output"]["bias"]
    np.testing.assert_allclose(there.apply(p, state, x)[0], expected, atol=1e-5)

    back, p, state = checks.initialised(decoder("transformer", depth=0), jnp.ones(3), shape)
    h = np.ones(3) @ p["input"]["kernel"] + p["input"]["bias"]
    h = normalised(h.reshape(LENGTH, -1) + p["positions"], p["core"]["stack"]["norm"])
    expected = h @ p["core"]["output"]["kernel"] + p["core"]["output"]["bias"]
    np.testing.assert_allclose(back.apply(p, state, jnp.ones(3))[0], expected, atol=1e-5)

    again = decoder("transformer", depth=0, autoregressive=True)
    assert checks.emitted(again, (3,), shape).shape == shape


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_inside_and_full_outside(name):
    x, shape = jax.ShapeDtypeStruct((LENGTH,), jnp.int32), (LENGTH, VOCABULARY)
    for again in (False, True):
        back = decoder(name, autoregressive=again, dtype="bfloat16")
        coder = back.bind(shape)
        params, _ = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros(3))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.float32.dtype}
        assert checks.emitted(back, (3,), shape).dtype == jnp.float32
    y = checks.emitted(encoder(name, dtype="bfloat16"), x.shape, (3,), x.dtype)
    assert y.dtype == jnp.float32


@pytest.mark.parametrize("name", SMALL)
def test_shapes_that_are_refused(name):
    with pytest.raises(ae.errors.ShapeError, match=rf"{name} with vocabulary=5 takes tokens \[T\]"):
        checks.emitted(encoder(name), (4, 2), (3,))
    with pytest.raises(ae.errors.ShapeError, match=r"takes series \[T, C\] unless .* vocabulary"):
        checks.emitted(encoder(name, "series"), (4,), (3,))
    with pytest.raises(ae.errors.ShapeError, match=r"_decoder emits \[T, numbers a position\]"):
        decoder(name).bind((4,))
    with pytest.raises(ae.errors.ShapeError, match=r"emits \(T, 5\), got shape \(4, 6\)"):
        decoder(name).bind((4, 6))
    with pytest.raises(ae.errors.ShapeError, match=r"per_entry=2 .* got shape \(4, 3\)"):
        decoder(name, "series", per_entry=2).bind((4, 3))
    if name == "transformer":
        with pytest.raises(ae.errors.ShapeError, match=r"emits \(4, d\) .* must emit \(3,\)"):
            checks.emitted(encoder(name, pool="none"), (4,), (3,), jnp.int32)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"width": 0}, "width must be a positive whole number, got 0"),
        ({"depth": 1.5}, r"depth must be (0 or )?a positive whole number, got 1\.5"),
        ({"depth": -1}, r"depth must be (0 or )?a positive whole number, got -1"),
        ({"vocabulary": 0}, "vocabulary must be a positive whole number, got 0"),
        ({"dropout": 1}, r"dropout must lie in \[0, 1\), got 1"),
        ({"dtype": "half"}, "dtype cannot be 'half'"),
        ({"num_classes": 3}, "name the entry of extras"),
    ],
)
def test_options_out_of_range(options, match):
    for name in ("gru", "gru_decoder", "transformer", "transformer_decoder"):
        with pytest.raises(ae.errors.ConfigError, match=match):
            getattr(ae.networks, name)(**({"width": 8} | options))


def test_options_of_some():
    with pytest.raises(ae.errors.ConfigError, match="width must be a multiple of heads=3, got 8"):
        ae.networks.transformer(width=8, heads=3)
    with pytest.raises(ae.errors.ConfigError, match="pool cannot be 'max'"):
        ae.networks.transformer(pool="max")
    with pytest.raises(ae.errors.ConfigError, match="depth must be a positive whole number, got 0"):
        ae.networks.gru_decoder(depth=0)
    with pytest.raises(ae.errors.ConfigError, match=r"word_dropout must lie in \[0, 1\), got 1"):
        ae.networks.gru_decoder(word_dropout=1.0)
    with pytest.raises(ae.errors.ConfigError, match="per_entry must be a positive whole number"):
        ae.networks.gru_decoder(per_entry=0)


@pytest.mark.parametrize("name", SMALL)
def test_a_condition_is_appended(name):
    extras = {"label": jnp.int32(1)}
    x, z = sequence("tokens"), jnp.ones(3)
    options = {"condition": "label", "num_classes": 4}
    for network, value, shape in (
        (encoder(name, **options), x, (3,)),
        (decoder(name, **options), z, (LENGTH, VOCABULARY)),
    ):
        coder, params, state = checks.initialised(network, value, shape, extras=extras)
        run = fast.jit(lambda i: coder.apply(params, state, value, extras={"label": i})[0])  # noqa: B023
        assert np.abs(run(0) - run(1)).max() > 1e-3
        with pytest.raises(ae.errors.ConfigError, match=r"extras\['label'\]"):
            coder.apply(params, state, value)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_contract(name):
    tokens = lambda x: (jnp.abs(10 * x).astype(jnp.int32) % VOCABULARY, {})
    options = {"dropout": 0.2, "depth": 1}
    there = checks.wrapped(encoder(name, **options).bind((4,)), tokens)
    checks.check_coder(there, input_shape=(3,))
    back = decoder(name, "series", autoregressive=True, **options)
    checks.check_coder(back, input_shape=(2,), output_shape=(3, 2))
