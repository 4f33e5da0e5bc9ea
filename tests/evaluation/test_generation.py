"""Features of a classifier of the same data, and the table of a run's samples."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.errors import DataError, PartError
from tests import small, untrained

RNG = np.random.default_rng(0)
CENTRES = 3 * RNG.normal(size=(3, 4))
LABEL = RNG.integers(0, 3, size=400)
X = (CENTRES[LABEL] + 0.5 * RNG.normal(size=(400, 4))).astype(np.float32)
DATA = ae.data.from_arrays(X, extras={"label": LABEL.astype(np.int32)}, test_fraction=0.25)
flat = lambda x: np.asarray(x).reshape(len(x), -1)


@functools.cache
def classifier():
    return evaluation.classifier_features(DATA, seed=1, width=6, steps=300)


@pytest.fixture(scope="module")
def run():
    return untrained.run_of(small.vae(), ae.data.load(small.SOURCE))


def test_a_classifier_learns_the_labels_and_its_features_are_of_unit_size():
    features = classifier()
    assert features.accuracy == 1.0
    assert features.classes.tolist() == [0, 1, 2]
    values = np.asarray(features(X))
    assert values.shape == (400, 6)
    assert values.min() == 0.0
    assert np.mean(np.asarray(features(DATA.train.x)) ** 2) == pytest.approx(1, rel=1e-4)
    assert (np.argmax(features.logits(DATA.test.x), 1) == DATA.test.extras["label"]).all()


@pytest.mark.slow
def test_features_are_compiled_and_differentiated_as_any_function():
    features = classifier()
    np.testing.assert_allclose(jax.jit(features)(X[:5]), features(X[:5]), rtol=1e-4, atol=1e-5)
    slope = jax.grad(lambda x: jnp.sum(features(x) ** 2))(jnp.asarray(X[:2]))
    nudge = np.float32(1e-2) * np.sign(slope)
    change = np.sum(np.asarray(features(X[:2] + nudge)) ** 2 - features(X[:2] - nudge) ** 2) / 2
    assert change == pytest.approx(float(np.sum(nudge * slope)), rel=0.05)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_features_another_seed_others():
    again = [evaluation.classifier_features(DATA, seed, width=6, steps=20) for seed in (1, 1, 2)]
    first, same, other = (np.asarray(features(X[:9])) for features in again)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.slow
def test_examples_without_label_are_left_out():
    some = np.where(np.arange(400) % 2, LABEL, -1).astype(np.int32)
    holes = ae.data.from_arrays(X, extras={"label": some}, test_fraction=0.25)
    odd = ae.data.from_arrays(X[1::2], extras={"label": some[1::2]}, test=X[:2])
    features = evaluation.classifier_features(holes, width=4, steps=200)
    assert features.classes.tolist() == [0, 1, 2]
    assert features.accuracy > 0.9
    assert np.isnan(evaluation.classifier_features(odd, width=4, steps=2).accuracy)


@pytest.mark.parametrize("node", [None, {"name": "scale", "low": -3.0, "high": 5.0}])
def test_features_of_an_example_are_those_of_its_row_in_any_models_units(node):
    features, x = classifier(), X[:5]
    part = features.preprocessing if node is None else ae.data.preprocessing.build(node)
    one = features.of_example(node)
    found = jax.vmap(one)(part.apply(x))
    np.testing.assert_allclose(found, features(x), rtol=1e-4, atol=1e-5)
    assert np.abs(jax.grad(lambda x: one(x).sum())(part.apply(x)[0])).max() > 0


def test_the_classes_of_samples_are_counted_beside_those_of_the_data(run):
    table = evaluation.generation(run, DATA, samples=X[LABEL > 0], features=classifier())
    likeliest = classifier().likeliest(classifier()(X))
    assert (likeliest == LABEL).mean() > 0.99
    assert table["training"]["modes"] == 1.0
    assert table["samples"]["modes"] == pytest.approx(2 / 3)
    share = np.mean(DATA.test.extras["label"] == 0)
    assert table["samples"]["mode_distance"] == pytest.approx(share, abs=0.1)


def test_labels_that_cannot_be_learned_are_refused():
    with pytest.raises(DataError, match="no label 'lable'; did you mean 'label'"):
        evaluation.classifier_features(DATA, label="lable")
    one = ae.data.from_arrays(X, extras={"label": np.full(400, 7)})
    with pytest.raises(DataError, match="two classes at least to tell apart, and hold only 7"):
        evaluation.classifier_features(one)
    rows = ae.data.from_arrays(X, extras={"label": np.zeros((400, 2))})
    with pytest.raises(DataError, match="one whole number an example, got shape"):
        evaluation.classifier_features(rows)


def test_copies_of_training_examples_are_found_out(run):
    data = ae.data.from_arrays(small.arrays(), test_fraction=0.4)
    places = np.arange(0, 20, 2)
    copies = data.train.read(places).x
    nearest, distance = evaluation.nearest_training(copies, data, flat)
    np.testing.assert_array_equal(nearest, copies)
    assert not distance.any()
    table = evaluation.generation(run, data, samples=copies, features=flat)["samples"]
    assert table["nearest_training"] == 0.0
    assert "path_length" not in table  # which is the run's, not the copies'


def test_real_examples_score_as_training_examples_do_and_noise_worse(run):
    whole = np.random.default_rng(3).normal(size=(600, small.WIDTH)).astype(np.float32)
    data = ae.data.from_arrays(whole[:400], test=whole[400:])
    score = lambda samples: evaluation.generation(run, data, samples=samples, features=flat)
    real = np.random.default_rng(4).normal(size=(200, small.WIDTH))
    good, bad = score(real), score(0.3 * real)
    assert (good["features"], good["examples"]) == ("given", 200)
    for name, value in good["training"].items():
        assert good["samples"][name] == pytest.approx(value, rel=0.25, abs=0.15)
        assert bad["training"][name] == value
    assert bad["samples"]["frechet_distance"] > 3 * good["samples"]["frechet_distance"]
    assert bad["samples"]["recall"] < 0.5 * good["samples"]["recall"]
    assert good["samples"]["nearest_training"] == pytest.approx(1, abs=0.15)


def test_a_run_is_judged_by_its_own_samples_the_same_for_the_same_seed(run):
    data = ae.data.load(small.SOURCE)
    first, again = (evaluation.generation(run, data, seed=5) for _ in range(2))
    assert first == again
    assert first["features"] == "preprocessed examples"
    assert first["examples"] == small.TEST
    part = run.preprocessing.apply
    made = flat(part(run.sample(small.TEST, 5)))
    want = evaluation.frechet_distance(flat(part(data.test.x)), made)
    assert first["samples"]["frechet_distance"] == pytest.approx(want, rel=1e-6)
    assert first["samples"]["path_length"] > 0


def test_what_cannot_be_judged_is_refused(run):
    data = ae.data.load(small.SOURCE)
    with pytest.raises(DataError, match="compared with the test split, and there is none"):
        evaluation.generation(run, data._replace(test=ae.data.Arrays(data.test.x[:0])))
    with pytest.raises(DataError, match="5 neighbours need more real examples"):
        evaluation.generation(run, data, num=5, features=flat)
    plain = untrained.run_of(ae.recipes.autoencoder(2, encoder=ae.networks.mlp((4,))), data)
    with pytest.raises(PartError, match="no prior to sample from: pass the samples of a density"):
        evaluation.generation(plain, data)


@pytest.mark.slow
@pytest.mark.devices(4)
@pytest.mark.parametrize("table", [evaluation.generation, evaluation.reduction])
def test_tables_do_not_depend_on_the_number_of_devices(run, table):
    data = ae.data.load(small.SOURCE)
    one, four = (
        table(run_on(run, devices), data, **({"features": flat} if "gen" in table.__name__ else {}))
        for devices in (1, 4)
    )
    assert jax.tree.structure(one) == jax.tree.structure(four)
    for first, second in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        assert first == second or first == pytest.approx(second, rel=1e-5, abs=1e-5)


def run_on(run, devices):
    parallel = dataclasses.replace(run.config.parallel, devices=devices)
    config = dataclasses.replace(run.config, parallel=parallel)
    return dataclasses.replace(run, config=config)
