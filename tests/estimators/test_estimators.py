"""Estimators keep scikit-learn's contract, on disk and in its pipelines as well."""

import copy
import json
import pickle
import warnings
from unittest import mock

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

import ae_jax as ae
from ae_jax.errors import ConfigError, DataError, PartError, UnknownNameError, WorkdirError
from ae_jax.estimators import AutoencoderOutlierDetector, AutoencoderTransformer
from ae_jax.estimators import _training as training

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(80, 2)) @ RNG.normal(size=(2, 4)) + [0, 1e3, 0, 0]) * [1, 1, 1e-3, 1e3]
QUICK = {"steps": 3, "batch_size": 16}
LINEAR = {"latent_dim": 2, "encoder": "linear", "decoder": "linear"}


@pytest.fixture(scope="module")
def detector():
    return AutoencoderOutlierDetector(arguments=LINEAR, contamination=0.2, **QUICK).fit(X)


@pytest.fixture(scope="module")
def transformer():
    optimizer = {"name": "adam", "learning_rate": 0.05}
    options = QUICK | {"steps": 300, "optimizer": optimizer}
    return AutoencoderTransformer(arguments=LINEAR, **options).fit(X)


def test_high_is_normal_and_pyod_s_names_have_its_sign(detector):
    scores = detector.score_samples(X)
    np.testing.assert_allclose(detector.decision_scores_, -scores, rtol=1e-6)
    np.testing.assert_allclose(detector.decision_function(X), scores - detector.offset_)
    assert detector.threshold_ == -detector.offset_
    labels = detector.predict(X)
    assert (labels == -1).sum() == 16
    np.testing.assert_array_equal(labels == -1, detector.labels_ == 1)
    centre, far = X.mean(axis=0), X.mean(axis=0) + 9 * X.std(axis=0) * [1, -1, 1, 1]
    assert detector.predict([centre, far]).tolist() == [1, -1]


def test_columns_are_standardised_whatever_their_units(detector):
    units = np.array([1e-4, 1.0, 1e6, 3.0])
    other = clone(detector).fit(X * units + 5)
    np.testing.assert_allclose(other.decision_scores_, detector.decision_scores_, rtol=1e-3)
    assert not jax.tree.leaves(detector.run_.model.corruption(jax.random.key(0), 0.0)[1])


def test_codes_come_back_in_the_data_s_units(transformer):
    codes = transformer.transform(X)
    assert codes.shape == (80, 2)
    assert codes.dtype == np.float32
    again = transformer.inverse_transform(codes)
    assert ((X - again) / X.std(axis=0)).std() < 0.1  # the rows lie on a plane
    z, want = (X - X.mean(0)) / X.std(0), (again - X.mean(0)) / X.std(0)
    explained = 1 - ((z - want) ** 2).sum() / (z**2).sum()
    assert transformer.score(X) == pytest.approx(explained, abs=1e-5)
    assert explained > 0.98
    names = ["autoencodertransformer0", "autoencodertransformer1"]
    assert transformer.get_feature_names_out().tolist() == names


def test_a_saved_detector_is_the_same_and_its_folder_an_ordinary_workdir(detector, tmp_path):
    folder = tmp_path / "run"
    detector.save(folder)
    assert not list(folder.rglob("*.pkl"))
    again = AutoencoderOutlierDetector.load(folder)
    np.testing.assert_array_equal(again.score_samples(X), detector.score_samples(X))
    np.testing.assert_array_equal(again.labels_, detector.labels_)
    assert again.get_params() == detector.get_params()
    assert json.loads((folder / "estimator.json").read_text())["params"]["arguments"] == LINEAR
    run = ae.load(folder)
    np.testing.assert_array_equal(run.encode(X), detector.run_.encode(X))
    assert run.summary["status"] == "finished"
    with pytest.raises(WorkdirError, match="holds a run already"):
        detector.save(folder)
    with pytest.raises(WorkdirError, match="another class.*AutoencoderOutlierDetector"):
        AutoencoderTransformer.load(folder)


@pytest.mark.slow
def test_a_recipe_of_parts_is_rebuilt_from_the_config(tmp_path):
    linear = ae.networks.linear()
    recipe = ae.recipes.autoencoder(2, encoder=linear, decoder=linear)
    fitted = AutoencoderTransformer(recipe, **QUICK).fit(X)
    fitted.save(tmp_path / "run")
    again = AutoencoderTransformer.load(tmp_path / "run")
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    assert again.recipe.bottleneck.latent_shape == (2,)
    np.testing.assert_array_equal(clone(again).fit(X).transform(X), fitted.transform(X))


def test_copies_and_pickles_are_the_same(detector, transformer):
    for estimator, method in ((detector, "score_samples"), (transformer, "transform")):
        want = getattr(estimator, method)(X)
        for twin in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
            np.testing.assert_array_equal(getattr(twin, method)(X), want)


def test_several_members_score_by_the_mean_of_their_standardised_scores(detector, tmp_path):
    group = AutoencoderOutlierDetector(arguments=LINEAR, contamination=0.2, members=2, **QUICK)
    np.testing.assert_array_equal(detector.disagreement(X), 0)
    group.fit(X)
    assert [run.config.training.seed for run in group.runs_] == [0, 1]
    alone = [ae.evaluation.anomaly.detector(run, X, seed=0) for run in group.runs_]
    np.testing.assert_allclose(alone[0].training_scores, detector.decision_scores_, rtol=1e-6)
    train = np.stack([one.training_scores for one in alone])
    standard = (train - train.mean(1, keepdims=True)) / train.std(1, keepdims=True)
    np.testing.assert_allclose(group.decision_scores_, standard.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(group.score_samples(X), -standard.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(group.disagreement(X), standard.std(axis=0), atol=1e-6)
    assert group.disagreement(X).max() > 0.01
    assert (group.predict(X) == -1).sum() == 16
    group.save(tmp_path / "run")
    for twin in (
        AutoencoderOutlierDetector.load(tmp_path / "run"),
        pickle.loads(pickle.dumps(group)),
    ):
        np.testing.assert_array_equal(twin.score_samples(X), group.score_samples(X))
        np.testing.assert_array_equal(twin.disagreement(X), group.disagreement(X))
        assert twin.threshold_ == group.threshold_
    second = ae.load(tmp_path / "run" / "members" / "1")
    np.testing.assert_array_equal(second.encode(X), group.runs_[1].encode(X))


def test_parameters_out_of_range_are_refused_in_a_line():
    for parameters, error, match in (
        ({"contamination": 0.6}, ConfigError, r"in \(0, 0.5\], got 0.6"),
        ({"recipe": "autoencodr"}, UnknownNameError, "did you mean 'autoencoder'"),
        ({"arguments": {"latent": 2}}, ConfigError, "latent"),
        (
            {"recipe": ae.recipes.vae(2), "arguments": {"latent_dim": 3}},
            ConfigError,
            "recipe",
        ),
        ({"anomaly_score": "neares"}, UnknownNameError, "did you mean 'nearest'"),
        ({"optimizer": 0.1}, ConfigError, "mapping such as"),
        ({"random_state": -1}, ConfigError, "seed"),
        ({"members": 0}, ConfigError, "members must be a positive whole number, got 0"),
    ):
        with pytest.raises(error, match=match):
            AutoencoderOutlierDetector(**(QUICK | parameters)).fit(X)
    with pytest.raises(DataError, match="7 rows are fewer than the 8 devices"):
        training.fitting_batch(16, 7) if len(jax.devices()) == 8 else pytest.skip("one device")
    with pytest.raises(NotFittedError):
        AutoencoderTransformer().save("nowhere")


def test_a_score_that_does_not_fit_the_recipe_names_the_nearest():
    parts = {"arguments": LINEAR, "anomaly_score": "negative_elbo"}
    compiled = mock.patch.object(training, "fit", side_effect=AssertionError)
    with compiled, pytest.raises(PartError, match="'negative_elbo' .* 'reconstruction'"):
        AutoencoderOutlierDetector(**parts, **QUICK).fit(X)


@pytest.fixture
def quickly_compiled():
    """Hundreds of programs that run once."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AutoencoderOutlierDetector, AutoencoderTransformer])
def test_scikit_learn_s_own_checks_pass(kind, quickly_compiled):
    results = check_estimator(kind(arguments=LINEAR, **QUICK), on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 35


@pytest.mark.slow
def test_pipelines_and_searches_take_them(quickly_compiled):
    labels = (X[:, 0] > np.median(X[:, 0])).astype(int)
    codes = AutoencoderTransformer(arguments=LINEAR, **QUICK)
    pipeline = make_pipeline(MinMaxScaler(), codes, LogisticRegression())
    grid = {"autoencodertransformer__arguments": [LINEAR, LINEAR | {"latent_dim": 1}]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = GridSearchCV(pipeline, grid, cv=2).fit(X, labels)
    assert search.cv_results_["mean_test_score"].shape == (2,)
    assert search.predict(X).shape == (80,)
