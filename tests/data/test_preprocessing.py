"""Preprocessing: the maps, their inverses, and their errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import _registry as registry
from ae_jax import keys
from ae_jax.data import preprocessing
from tests import small

RNG = np.random.default_rng(0)
MEAN, STD = (0.5, -3.0, 100.0), (0.1, 2.0, 30.0)
TABLE = (RNG.normal(size=(50, 3)) * STD + MEAN).astype(np.float32)
IMAGES = RNG.integers(0, 256, (5, 4, 4, 1)).astype(np.uint8)

CASES = [
    pytest.param(preprocessing.none(), TABLE, TABLE, id="none"),
    pytest.param(preprocessing.scale(0, 255), IMAGES, IMAGES / 255.0, id="scale"),
    pytest.param(preprocessing.scale(-2.0, 2.0), TABLE, (TABLE + 2.0) / 4, id="scale-real"),
    pytest.param(
        preprocessing.standardise(MEAN, STD), TABLE, (TABLE - MEAN) / np.array(STD), id="features"
    ),
    pytest.param(preprocessing.standardise(3.0, 2.0), TABLE, (TABLE - 3.0) / 2, id="all"),
]


@pytest.mark.parametrize(("preprocess", "x", "expected"), CASES)
def test_the_map_and_its_inverse(preprocess, x, expected):
    y = jax.jit(preprocess.apply)(x)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    back = preprocess.invert(y)
    assert back.dtype == jnp.float32
    np.testing.assert_allclose(back, x, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("preprocess", "x", "expected"), CASES)
def test_one_example_is_mapped_as_it_is_in_a_batch(preprocess, x, expected):
    np.testing.assert_allclose(preprocess.apply(x[1]), preprocess.apply(x)[1], rtol=1e-6)


def test_uint8_does_not_wrap_around():
    x = np.array([[0, 16]], np.uint8)
    np.testing.assert_allclose(preprocessing.scale(10, 20).apply(x), [[-1.0, 0.6]], rtol=1e-6)


def test_standardised_data_have_mean_zero_and_deviation_one():
    y = np.asarray(preprocessing.standardise(TABLE.mean(0), TABLE.std(0)).apply(TABLE))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, float("nan"))])
def test_a_range_without_width_is_refused(low, high):
    match = f"scale needs high above low, got low={low}, high={high}"
    with pytest.raises(ae.errors.ConfigError, match=match):
        preprocessing.scale(low, high)


@pytest.mark.parametrize("std", [0.0, -1.0, (1.0, 0.0), float("nan")])
def test_a_deviation_that_is_not_positive_is_refused(std):
    with pytest.raises(ae.errors.ConfigError, match="standardise needs std above zero, got"):
        preprocessing.standardise(0.0, std)


def test_on_the_host_it_is_float64_whatever_the_numbers_and_programs_hold_none_of_them():
    part = preprocessing.standardise_on_host(MEAN, STD)
    x = TABLE.astype(np.float64)
    y = part.apply(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, ((x - MEAN) / STD).astype(np.float32))
    back = part.invert(y)
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, x, rtol=1e-6)
    programs = [
        jax.jit(preprocessing.on_device(preprocessing.standardise_on_host(mean, 2.0)).apply)
        .lower(jax.ShapeDtypeStruct((3,), "f4"))
        .as_text()
        for mean in (0.0, 5.0)
    ]
    assert programs[0] == programs[1]
    with pytest.raises(ae.errors.ConfigError, match="standardise_on_host needs std above zero"):
        preprocessing.standardise_on_host(0.0, 0.0)


def test_the_registry_takes_preprocessing_only():
    assert registry.PREPROCESSING.build("none").node.name == "none"
    with pytest.raises(ae.errors.PartError, match="expected a preprocessing, got Bottleneck"):
        registry.PREPROCESSING.build(ae.bottlenecks.identity(2))


# ---- what is random, and what changes shapes -----------------------------------------------------

GREY = RNG.random((400, 5, 4, 1)).astype(np.float32)
ROOT = jax.random.key(3)


def draws(step, index, places=None):
    places = np.arange(len(index), dtype=np.uint32) if places is None else places
    return keys.for_preprocessing(ROOT, step, places, np.asarray(index, np.uint32))


def test_dynamic_binarisation_is_bernoulli_and_new_each_step():
    binarise = preprocessing.binarise()
    index = np.arange(400)
    sums = sum(np.asarray(binarise.apply(GREY, draws(step, index))) for step in range(50))
    assert set(np.unique(binarise.apply(GREY, draws(0, index)))) == {0.0, 1.0}
    score = (sums - 50 * GREY) / np.sqrt(50 * GREY * (1 - GREY) + 1e-9)
    assert abs(score.mean()) < 5 / np.sqrt(score.size)
    assert (score**2).mean() == pytest.approx(1.0, abs=5 * np.sqrt(2 / score.size) + 0.02)


def test_dynamic_binarisation_hangs_on_the_place_and_fixed_on_the_example():
    same = np.tile(GREY[:1], (6, 1, 1, 1))
    index = np.array([4, 5, 6, 4, 5, 6])
    dynamic = np.asarray(preprocessing.binarise("dynamic").apply(same, draws(0, index)))
    fixed = np.asarray(preprocessing.binarise("fixed").apply(same, draws(0, index)))
    later = np.asarray(preprocessing.binarise("fixed").apply(same, draws(9, index)))
    np.testing.assert_array_equal(fixed[:3], fixed[3:])
    np.testing.assert_array_equal(later, fixed)
    assert (dynamic[:3] != dynamic[3:]).any()
    held_out = np.asarray(preprocessing.binarise("fixed").apply(same, draws(None, index)))
    assert (held_out != fixed).any()  # the same index in another split is another example


def test_binarisation_without_keys_is_the_mean_or_the_threshold():
    for how in ("dynamic", "fixed"):
        np.testing.assert_array_equal(preprocessing.binarise(how).apply(GREY), GREY)
    found = preprocessing.binarise("threshold", threshold=0.3).apply(GREY)
    np.testing.assert_array_equal(found, GREY > 0.3)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [(("dynamicc",), "how must be one of dynamic, fixed, threshold, got 'dynamicc'"),
     (("fixed", 1.5), r"threshold must lie in \[0, 1\], got 1.5")],
)  # fmt: skip
def test_a_binarisation_that_is_none_is_refused(arguments, match):
    with pytest.raises(ae.errors.ConfigError, match=match):
        preprocessing.binarise(*arguments)


def test_padding_surrounds_with_zeros_and_is_undone():
    pad = preprocessing.pad([1, (0, 3)])
    assert pad.event_shape((5, 4, 1)) == (7, 7, 1)
    padded = np.asarray(pad.apply(GREY))
    np.testing.assert_array_equal(padded[:, 1:-1, :4], GREY)
    assert padded.sum() == pytest.approx(GREY.sum(), rel=1e-5)
    np.testing.assert_array_equal(pad.invert(padded), GREY)
    seen = pad.observed(np.zeros(GREY.shape, bool))
    assert seen.sum() == 400 * (49 - 20)  # the padding alone


def test_cropping_keeps_the_middle():
    crop = preprocessing.crop([1, (2, 0)])
    assert crop.event_shape((5, 4, 1)) == (3, 2, 1)
    np.testing.assert_array_equal(crop.apply(GREY), GREY[:, 1:-1, 2:])
    np.testing.assert_array_equal(crop.observed(GREY > 0.5), GREY[:, 1:-1, 2:] > 0.5)


@pytest.mark.parametrize("by", [3, [], [-1], [(1, 2, 3)], [True], ["1"]])
def test_ends_that_are_none_are_refused(by):
    with pytest.raises(ae.errors.ConfigError, match="needs for each axis a number or a pair"):
        preprocessing.pad(by)


def test_cropping_everything_away_is_refused():
    with pytest.raises(ae.errors.ShapeError, match=r"cannot crop examples of shape \(4, 4, 1\)"):
        preprocessing.crop([2]).event_shape((4, 4, 1))


def test_flipping_mirrors_half_of_the_examples_in_training_only():
    flip = preprocessing.flip()
    own = draws(1, np.arange(400))
    found = np.asarray(flip.apply(GREY, own, True))
    same = (found == GREY).all(axis=(1, 2, 3))
    mirrored = (found == GREY[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 150 < mirrored.sum() < 250
    mask = np.asarray(flip.observed(GREY > 0.5, own, True))
    np.testing.assert_array_equal(mask, found > 0.5)
    np.testing.assert_array_equal(flip.apply(GREY, own, False), GREY)
    np.testing.assert_array_equal(flip.apply(GREY), GREY)
    with pytest.raises(ae.errors.ShapeError, match="no axis 3 to flip"):
        preprocessing.flip(3).apply(GREY, own, True)


def test_a_chain_applies_in_order_and_inverts_in_reverse():
    chain = preprocessing.build(
        [{"name": "scale", "low": 0, "high": 255}, {"name": "pad", "by": [2, 2]}]
    )
    y = np.asarray(chain.apply(IMAGES))
    assert chain.event_shape((4, 4, 1)) == y.shape[1:] == (8, 8, 1)
    np.testing.assert_allclose(y[:, 2:-2, 2:-2], IMAGES / 255.0, rtol=1e-6)
    np.testing.assert_allclose(chain.invert(y), IMAGES, rtol=1e-6)
    again = registry.PREPROCESSING.build(chain.node.to_dict())
    np.testing.assert_array_equal(again.apply(IMAGES), y)
    with pytest.raises(ae.errors.ConfigError, match="chain needs a list"):
        preprocessing.chain([])


# ---- in a run ------------------------------------------------------------------------------------


def grey_levels() -> ae.data.Dataset:
    x = np.random.default_rng(1).integers(0, 256, (98, 4, 4, 1)).astype(np.uint8)
    return ae.data.Dataset(ae.data.Arrays(x[:61]), ae.data.Arrays(x[61:]))


STEPS = [
    {"name": "scale", "low": 0, "high": 255},
    {"name": "flip"},
    {"name": "pad", "by": [1, 1]},
    {"name": "binarise"},
]


@pytest.mark.parametrize("engine", [pytest.param("resident", marks=pytest.mark.slow), "streaming"])
def test_a_run_applies_it_everywhere_and_after_loading(tmp_path, engine):
    data = {"source": f"{__name__}:grey_levels", "preprocessing": STEPS, "engine": engine}
    recipe = ae.recipes.vae(2, encoder=ae.networks.mlp((8,)), decoder=ae.networks.mlp((8,)))
    run = small.train(tmp_path, recipe=recipe, data=data)
    assert run.config.model.likelihood["name"] == "bernoulli"
    assert run.spec == ae.Spec((6, 6, 1), "binary")
    x = grey_levels().test.x
    again = ae.load(tmp_path)
    for loaded in (run, again):
        assert loaded.encode(x).shape == (37, 2)
        assert loaded.reconstruct(x).shape == x.shape
        assert loaded.sample(3).shape == (3, 4, 4, 1)
    np.testing.assert_array_equal(again.log_likelihood(x, 4), run.log_likelihood(x, 4))
    assert again.evaluate() == pytest.approx(run.summary["metrics"]["test"], rel=1e-5)


@pytest.mark.slow
def test_random_preprocessing_is_the_same_on_any_number_of_devices_and_engines():
    data = {"source": f"{__name__}:grey_levels", "preprocessing": STEPS}
    recipe = ae.recipes.vae(2, encoder=ae.networks.mlp((8,)), decoder=ae.networks.mlp((8,)))
    one = small.train(recipe=recipe, data=data)
    many = small.train(recipe=recipe, data={**data, "engine": "streaming"}, devices=4)
    assert small.distance(many.variables.params, one.variables.params) <= 1e-5


def test_fit_takes_preprocessing_and_refuses_what_could_not_be_loaded_again():
    x = grey_levels().train.x
    options = {"steps": 2, "batch_size": 16, "progress": False}
    run = ae.fit(small.vae(), x, preprocessing={"name": "scale", "low": 0, "high": 51}, **options)
    np.testing.assert_allclose(run.preprocessing.apply(x), x / 51, rtol=1e-6)
    own = preprocessing.Preprocessing(lambda x, draws=None, train=False: x, lambda x: x)
    with pytest.raises(ae.errors.ConfigError, match="no config form"):
        ae.fit(small.vae(), x, preprocessing=own, **options)


@pytest.mark.slow
def test_missing_values_are_zero_after_preprocessing_and_cost_nothing():
    x = small.arrays().copy()
    observed = np.random.default_rng(2).random(x.shape) > 0.3
    holes = np.where(observed, x, np.nan)
    recipe, options = small.vae(), {"steps": 20, "batch_size": 16, "progress": False}
    data = ae.data.from_arrays(holes, observed=observed, test_fraction=0.2)
    run = ae.fit(recipe, data, **options)
    mean = np.array(dict(run.preprocessing.node.kwargs)["mean"])
    train = observed[~ae.data.split_mask(len(x), 0.2)]
    values = x[~ae.data.split_mask(len(x), 0.2)]
    expected = (values * train).sum(0) / train.sum(0)
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
    other = ae.data.from_arrays(np.where(observed, x, 1e6), observed=observed, test_fraction=0.2)
    small.assert_identical(ae.fit(recipe, other, **options).variables, run.variables)
    filled = run.reconstruct(holes, observed=observed)
    assert np.isfinite(filled).all()
    with pytest.raises(ae.errors.DataError, match="not finite.*declare them missing"):
        run.reconstruct(holes)
