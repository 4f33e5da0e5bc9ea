"""Vision transformers and masked autoencoders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ae_jax as ae
from ae_jax.networks._patches import Patches
from tests import fast
from tests.networks import checks

RNG = np.random.default_rng(0)
SMALL = {"patch": 2, "width": 8, "depth": 2, "heads": 2}


def there(**options):
    return ae.networks.vit(**(SMALL | options))


def back(**options):
    return ae.networks.vit_decoder(**(SMALL | options))


@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    side=st.integers(1, 4),
    channels=st.integers(0, 1),
)
@settings(max_examples=8, deadline=None)
def test_patches_tile_an_event_and_join_again(shape, side, channels):
    shape = tuple(shape)
    patch = side if channels else (side,) * len(shape)
    patches = Patches.of(shape, patch, "it")
    x = RNG.normal(size=shape).astype(np.float32)
    cut = np.asarray(patches.cut(jnp.asarray(x)))
    assert cut.shape == (patches.number, patches.size)
    np.testing.assert_array_equal(patches.join(jnp.asarray(cut)), x)
    assert np.sum(np.float64(cut)) == pytest.approx(np.sum(np.float64(x)), abs=1e-4)


def test_a_patch_is_its_pixels_row_by_row():
    x = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    patches = Patches.of(x.shape, 2, "it")
    cut = patches.cut(jnp.asarray(x))
    assert (patches.grid, patches.size) == ((3, 2), 12)
    np.testing.assert_array_equal(cut[1 * 2 + 1], x[2:4, 2:4].ravel())
    np.testing.assert_array_equal(cut[2 * 2], np.concatenate([x[4:, :2].ravel(), np.zeros(6)]))


@pytest.mark.parametrize("shape", [(1,), (7,), (5, 3), (7, 9, 3), (3, 4, 5, 1)])
def test_any_event_comes_out_at_its_own_size(shape):
    assert checks.emitted(there(), shape, (5,)).shape == (5,)
    assert checks.emitted(back(), (5,), shape).shape == shape


def test_axes_that_a_patch_leaves_are_channels():
    classes = (4, 6, 3, 5)
    assert checks.emitted(back(patch=(2, 2)), (6, 7), classes).shape == classes
    params, _ = jax.eval_shape(
        back(patch=(2, 2)).bind(classes).init, jax.random.key(0), jnp.zeros((6, 7))
    )
    assert params["input"]["kernel"].shape == (7, 8)
    assert params["output"]["kernel"].shape == (8, 2 * 2 * 3 * 5)


def masked_image():
    x = RNG.normal(size=(5, 6, 2)).astype(np.float32)
    corruption = ae.corruptions.patch_masking(2, 0.6)
    corrupted, info = corruption(jax.random.key(3), jnp.asarray(x), None)
    assert info["patch_mask"].shape == (3, 3)
    assert info["patch_mask"].sum() == 5
    return x, corrupted, info


@pytest.mark.parametrize(("pool", "shape"), [("flatten", (3,)), ("mean", (3,)), ("none", (9, 3))])
def test_hidden_patches_change_nothing(pool, shape):
    x, corrupted, info = masked_image()
    coder, params, state = checks.initialised(there(mask_rate=0.6, pool=pool), x, shape)
    apply = lambda x, info, train=True: coder.apply(params, state, x, info=info, train=train)[:2]
    run = jax.jit(apply, static_argnums=2, compiler_options=fast.options())
    (y, activations), (other, _) = run(corrupted, info), run(x, info)
    np.testing.assert_array_equal(y, other)
    for seen in (corrupted, x):  # in evaluation by attention that does not look at them
        np.testing.assert_allclose(run(seen, info, False)[0], y, rtol=1e-4, atol=1e-5)
    assert np.abs(run(x + ~info["mask"], info)[0] - y).max() > 1e-3
    assert np.abs(run(x, {})[0] - y).max() > 1e-3  # told of no mask, it sees everything
    hidden = np.asarray(info["patch_mask"]).ravel()
    if pool == "none":
        assert activations["features"].shape == (4, 8)  # visible ones alone were processed
        assert (np.abs(y).max(-1) == 0).tolist() == hidden.tolist()
    if pool == "flatten":
        assert activations["features"].shape == (9, 8)
        assert (np.abs(activations["features"]).max(-1) == 0).tolist() == hidden.tolist()


def test_visible_patches_keep_their_places():
    x, _, info = masked_image()
    network = there(mask_rate=0.6, pool="none", depth=1)
    coder, params, state = checks.initialised(network, x, (3, 3, 4))
    visible = np.flatnonzero(~np.asarray(info["patch_mask"]).ravel())
    attention = params["stack"]["blocks"]["attention"]  # silenced: nothing else joins patches
    attention["out"] = jax.tree.map(jnp.zeros_like, attention["out"])
    run = fast.jit(lambda x, info: coder.apply(params, state, x, info=info)[0].reshape(9, 4))
    y, whole = run(x, info), run(x, {})
    np.testing.assert_allclose(y[visible], whole[visible], atol=1e-5)


@pytest.mark.parametrize("hidden", [1, 3, 8])
def test_in_evaluation_any_number_of_patches_may_be_hidden(hidden):
    x, _, _ = masked_image()
    network, shape = there(mask_rate=0.6, pool="none"), (9, 3)
    coder, params, state = checks.initialised(network, x, shape)
    mask = np.arange(9) < hidden
    rate = there(mask_rate=hidden / 9, pool="none").bind(shape)  # the same, trained with that many
    info = {"patch_mask": jnp.asarray(mask.reshape(3, 3))}
    whole = fast.jit(lambda info: coder.apply(params, state, x, info=info)[0])(info)
    cut = fast.jit(lambda info: rate.apply(params, state, x, info=info, train=True)[0])(info)
    np.testing.assert_allclose(whole, cut, rtol=1e-4, atol=1e-5)
    assert (np.abs(whole).max(-1) == 0).tolist() == mask.tolist()


def test_a_rate_that_hides_no_patch_or_all_is_refused():
    for rate, hidden in ((0.01, 0), (0.99, 9)):
        with pytest.raises(ae.errors.ConfigError, match=f"hides {hidden} of 9 patches.*nearest is"):
            checks.emitted(there(mask_rate=rate), (5, 6, 2), (3,))


def test_the_decoder_puts_mask_tokens_where_patches_are_hidden():
    _, _, info = masked_image()
    z = RNG.normal(size=(9, 3)).astype(np.float32)
    coder, params, state = checks.initialised(back(), z, (5, 6, 2))
    run = fast.jit(lambda z, info: coder.apply(params, state, z, info=info)[0])
    hidden = np.asarray(info["patch_mask"]).ravel()
    y = run(z, info)
    np.testing.assert_array_equal(run(np.where(hidden[:, None], 7, z), info), y)
    assert np.abs(run(np.where(hidden[:, None], z, 7), info) - y).max() > 1e-3
    assert np.abs(run(z, None) - y).max() > 1e-3
    grid = coder.apply(params, state, z.reshape(3, 3, 3), info=info)[0]
    np.testing.assert_allclose(grid, y, atol=1e-5)


def test_a_masked_autoencoder_trains_one_step():
    model = ae.autoencoder(
        there(mask_rate=0.5, pool="none", depth=1),
        back(depth=1),
        ae.bottlenecks.identity((6, 4)),
        ae.likelihoods.gaussian(),
        ae.corruptions.patch_masking(2, 0.5),
        event_shape=(5, 4, 1),
    )
    batch = ae.Batch(jnp.asarray(RNG.normal(size=(3, 5, 4, 1)), jnp.float32))
    keys = ae.keys.for_examples(jax.random.key(0), 0, jnp.arange(3))

    def loss(params, variables):
        outputs, _ = model.forward(variables._replace(params=params), batch, keys, train=True)
        return -jnp.mean(outputs.log_px), outputs.parameters

    variables = checks.drawn(jax.eval_shape(model.init, jax.random.key(0), batch.x[0]))
    step = fast.jit(jax.value_and_grad(loss, has_aux=True))
    (value, y), gradient = step(variables.params, variables)
    assert np.isfinite(value)
    assert y.shape == (3, 1, 5, 4, 1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.abs(gradient["decoder"]["mask_token"]).max() > 0


def test_a_mask_of_other_patches_is_refused():
    x, info = jnp.zeros((5, 6, 2)), {"patch_mask": jnp.zeros((2, 3), bool)}
    with pytest.raises(ae.errors.ShapeError, match=r"must have shape \(3, 3\).*got \(2, 3\)"):
        checks.emitted(there(mask_rate=0.5), x.shape, (3,), info=info)
    with pytest.raises(ae.errors.ShapeError, match=r"must have shape \(3, 3\).*got \(2, 3\)"):
        checks.emitted(back(), (9, 3), x.shape, info=info)


def test_shapes_that_are_refused():
    with pytest.raises(ae.errors.ShapeError, match=r"vit with patch=\(2, 2\) needs as many axes"):
        checks.emitted(there(patch=(2, 2)), (4,), (3,))
    with pytest.raises(ae.errors.ShapeError, match=r"vit_decoder with patch=2 .* got shape \(\)"):
        back().bind(())
    match = r"emits \(6, d\) or \(2, 3, d\) for x .* must emit \(3,\)"
    with pytest.raises(ae.errors.ShapeError, match=match):
        checks.emitted(there(pool="none"), (4, 6, 1), (3,))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"patch": 0}, "patch must be a positive whole number, got 0"),
        ({"patch": (2, -1)}, "patch must be a positive whole number, got -1"),
        ({"width": 9}, "width must be a multiple of heads=2, got 9"),
        ({"depth": 0}, "depth must be a positive whole number, got 0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1\.0"),
        ({"dtype": "bf16"}, "dtype cannot be 'bf16'"),
        ({"num_classes": 3}, "num_classes=3 says how many labels"),
    ],
)
def test_options_out_of_range(options, match):
    for factory in (there, back):
        with pytest.raises(ae.errors.ConfigError, match=match):
            factory(**options)
    with pytest.raises(ae.errors.ConfigError, match=r"mask_rate must lie in \[0, 1\), got 1"):
        there(mask_rate=1)
    with pytest.raises(ae.errors.ConfigError, match="pool cannot be 'cls'"):
        there(pool="cls")


def test_half_precision_inside_and_full_outside():
    for network, taken, shape in ((there, (4, 4, 1), (3,)), (back, (4, 3), (4, 4, 1))):
        bound = network(dtype="bfloat16", remat=True)
        params, _ = jax.eval_shape(bound.bind(shape).init, jax.random.key(0), jnp.zeros(taken))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.float32.dtype}
        assert checks.emitted(bound, taken, shape).dtype == jnp.float32


def test_a_condition_is_appended():
    options, extras = {"condition": "label", "num_classes": 4}, {"label": jnp.int32(1)}
    init = lambda network, shape, x: jax.eval_shape(
        lambda x: network.bind(shape).init(jax.random.key(0), x, extras=extras)[0], x
    )
    params = init(there(pool="mean", **options), (3,), jnp.zeros((4, 4, 1)))
    assert params["output"]["kernel"].shape == (8 + 4, 3)
    params = init(back(**options), (4, 4, 1), jnp.zeros((4, 3)))
    assert params["input"]["kernel"].shape == (3 + 4, 8)


@pytest.mark.slow
def test_contract():
    checks.check_coder(there(dropout=0.2), input_shape=(5, 3, 2))
    checks.check_coder(back(dropout=0.2), input_shape=(3,), output_shape=(5, 3, 1))
