"""Anomaly scores against NumPy, SciPy and scikit-learn on models whose answers are known."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import KernelDensity

import ae_jax as ae
from ae_jax.errors import ConfigError, DataError, PartError, ShapeError, UnknownNameError
from ae_jax.evaluation import anomaly
from tests import fast

CONSTANT = 0.5 * np.log(2 * np.pi)
RNG = np.random.default_rng(0)
X = (RNG.normal(size=(41, 4)) * [2.0, 1.0, 0.5, 0.5]).astype(np.float32)
NEW = np.concatenate([RNG.normal(size=(6, 4)), [[9, 0, 0, 0], [0, 0, 9, 0]]]).astype(np.float32)
VARIANCE = 0.25


def linear_run(recipe, weights, spec=None):
    """A Run of a linear recipe whose kernels are these, by part; biases are 0 if not given."""
    spec = ae.Spec((4,), "real") if spec is None else spec
    model, objective = recipe.build(spec)
    variables = fast.jit(model.init)(jax.random.key(0), np.zeros(4, np.float32))

    def put(path, leaf):
        part, last = path[1].key, path[-1].key
        given = weights.get((part, last))
        return np.zeros(leaf.shape, np.float32) if given is None else np.float32(given)

    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: put((None, *path[1:]), leaf), variables
    )
    config = ae.config.complete({})
    part = ae.data.preprocessing.none()
    return ae.Run(model, objective, variables, config, part, spec, (4,), len(X), (0.0, 1.0))


LINEAR = {"encoder": "linear", "decoder": "linear", "likelihood": ae.likelihoods.gaussian()}
FIRST_TWO = {("encoder", "kernel"): np.eye(4)[:, :2], ("decoder", "kernel"): np.eye(4)[:2]}


@pytest.fixture(scope="module")
def run():
    """Its code is the first two columns, its residual the last two."""
    return linear_run(ae.recipes.autoencoder(2, **LINEAR), FIRST_TWO)


@pytest.fixture(scope="module")
def vae():
    """The same code as the posterior's mean, under a variance of 0.25."""
    encoder = np.concatenate([np.eye(4)[:, :2], np.zeros((4, 2))], axis=1)
    weights = FIRST_TWO | {("encoder", "kernel"): encoder}
    weights[("encoder", "bias")] = [0, 0, np.log(VARIANCE), np.log(VARIANCE)]
    return linear_run(ae.recipes.vae(2, **LINEAR), weights)


def mean_nearest(known, asked, k):
    distances = np.sort(cdist(asked, known), axis=1)
    own = distances[:, 0] == 0
    return np.where(own, distances[:, 1 : k + 1].mean(1), distances[:, :k].mean(1))


def test_reconstruction_error_is_that_of_the_likelihood(run):
    found = anomaly.detector(run, X, "reconstruction")
    want = 0.5 * (NEW[:, 2:] ** 2).sum(axis=1) + 4 * CONSTANT
    np.testing.assert_allclose(found.scores(NEW), want, rtol=1e-5)
    assert found.reference == {}


def test_the_default_is_the_distance_between_examples_where_the_model_is_an_isometry(run):
    found = anomaly.detector(run, X)
    np.testing.assert_allclose(found.scores(NEW), mean_nearest(X, NEW, 5), rtol=1e-5)
    np.testing.assert_allclose(found.training_scores, mean_nearest(X, X, 5), rtol=1e-5)
    one = anomaly.detector(run, X, anomaly.nearest(neighbours=1))
    np.testing.assert_allclose(one.scores(NEW), mean_nearest(X, NEW, 1), rtol=1e-5)


def test_the_weight_of_codes_does_not_hang_on_their_units(run):
    weights = {
        ("encoder", "kernel"): 7 * np.eye(4)[:, :2],
        ("decoder", "kernel"): np.eye(4)[:2] / 7,
    }
    other = linear_run(ae.recipes.autoencoder(2, **LINEAR), weights)
    same = (anomaly.detector(r, X).scores(NEW) for r in (run, other))
    np.testing.assert_allclose(*same, rtol=1e-5)


def test_categories_count_as_right_or_wrong():
    columns = (ae.types.Column("n", "number"),) * 3
    columns += (ae.types.Column("c", "category", ("a", "b", "c")),)
    spec = ae.Spec((4,), "table", columns=columns)
    likelihood = ae.likelihoods.mixed(
        [("gaussian", 3), ({"name": "categorical", "num_classes": 3}, 1)]
    )
    parts = LINEAR | {"likelihood": likelihood}
    bias = [0, 0, 0, 0, 5, 0]  # the second class is the most probable
    run = linear_run(ae.recipes.autoencoder(2, **parts), {("decoder", "bias"): bias}, spec)
    rows = np.float32([[1, 2, 3, 1], [1, 2, 3, 0], [1, 2, 3, 2], [4, 2, 3, 1]])
    found = anomaly.detector(run, rows, anomaly.nearest(neighbours=1))
    asked = np.float32([[1, 2, 3, 1], [1, 2, 4, 0]])
    want = [1.0, 1.0]  # to a row of another category; to the same wrong one, a number away
    np.testing.assert_allclose(found.scores(asked), want, rtol=1e-5)


def test_scores_of_codes_are_those_of_scikit_learn(run):
    codes, asked = X[:, :2].astype(np.float64), NEW[:, :2].astype(np.float64)
    shrunk = LedoitWolf().fit(codes)
    got = anomaly.detector(run, X, "mahalanobis").scores(NEW)
    np.testing.assert_allclose(got, np.sqrt(shrunk.mahalanobis(asked)), rtol=1e-5)

    root = np.linalg.cholesky(shrunk.precision_)
    white = lambda z: (z - shrunk.location_) @ root
    h = len(X) ** (-1 / 6)
    kernels = KernelDensity(bandwidth=h).fit(white(codes))
    want = -kernels.score_samples(white(asked)) - np.linalg.slogdet(root)[1]
    got = anomaly.detector(run, X, "code_density")
    np.testing.assert_allclose(got.scores(NEW), want, rtol=1e-5)
    others = KernelDensity(bandwidth=h).fit(white(codes[1:]))
    want = -others.score_samples(white(codes[:1])) - np.linalg.slogdet(root)[1]
    np.testing.assert_allclose(got.training_scores[0], want, rtol=1e-5)

    scaled = lambda z: (z - codes.mean(0)) / codes.std(0)
    got = anomaly.detector(run, X, "nearest_codes").scores(NEW)
    np.testing.assert_allclose(got, mean_nearest(scaled(codes), scaled(asked), 5), rtol=1e-5)


def test_negative_elbo_of_a_linear_gaussian_model(vae):
    residual = (NEW[:, 2:].astype(np.float64) ** 2).sum(1)
    distortion = 0.5 * (residual + 2 * VARIANCE) + 4 * CONSTANT
    code = (NEW[:, :2].astype(np.float64) ** 2).sum(1)
    kl = 0.5 * (code + 2 * (VARIANCE - 1 - np.log(VARIANCE)))
    got = anomaly.detector(vae, X, anomaly.negative_elbo(samples=1000)).scores(NEW[:6])
    np.testing.assert_allclose(got, (distortion + kl)[:6], atol=0.15)


def test_the_bound_is_the_likelihood_where_the_posterior_is_exact():
    half = np.concatenate([np.eye(4)[:, :2] / 2, np.zeros((4, 2))], axis=1)
    weights = FIRST_TWO | {("encoder", "kernel"): half}
    weights[("encoder", "bias")] = [0, 0, np.log(0.5), np.log(0.5)]
    vae = linear_run(ae.recipes.vae(2, **LINEAR), weights)
    exact = -multivariate_normal(np.zeros(4), np.diag([2, 2, 1, 1])).logpdf(NEW)
    for score in (anomaly.importance_weighted(samples=3), anomaly.negative_elbo(samples=2)):
        np.testing.assert_allclose(anomaly.detector(vae, X, score).scores(NEW), exact, rtol=1e-5)


def test_corrupted_passes_are_the_mean_over_the_noise(run):
    noise = ae.corruptions.gaussian(0.5)
    score = anomaly.corrupted_passes(passes=1000, corruption=noise)
    want = 0.5 * ((NEW[:, 2:] ** 2).sum(1) + 2 * 0.25) + 4 * CONSTANT
    got = anomaly.detector(run, X, score).scores(NEW)
    np.testing.assert_allclose(got[:6], want[:6], atol=0.1)


def test_a_score_hangs_on_the_example_alone_and_not_on_the_devices(vae):
    score = anomaly.importance_weighted(samples=3)
    several = anomaly.detector(vae, X, score)
    order = np.arange(len(X))[::-1]
    want = several.scores(X)
    np.testing.assert_allclose(several.scores(X[order])[order], want, rtol=1e-6)
    np.testing.assert_allclose(several.scores(X[7:8]), want[7:8], rtol=1e-6)
    alone = dataclasses.replace(vae.config.parallel, devices=1)
    config = dataclasses.replace(vae.config, parallel=alone)
    parts = vae.preprocessing, vae.spec, vae.data_shape, vae.num_train, vae.display_range
    one = ae.Run(vae.model, vae.objective, vae.variables, config, *parts)
    np.testing.assert_allclose(anomaly.detector(one, X, score).scores(X), want, rtol=1e-5)


def test_heat_maps_sum_to_the_reconstruction_error(run):
    got = anomaly.heat_map(run, NEW)
    want = 0.5 * (NEW * [0, 0, 1, 1]) ** 2 + CONSTANT
    np.testing.assert_allclose(got, want, rtol=1e-5)
    scores = anomaly.detector(run, X, "reconstruction").scores(NEW)
    np.testing.assert_allclose(got.sum(axis=1), scores, rtol=1e-5)
    observed = np.ones_like(NEW, bool)
    observed[:, 2] = False
    missing = anomaly.heat_map(run, NEW, observed=observed)
    np.testing.assert_allclose(missing, want * observed, rtol=1e-5)


def test_the_threshold_leaves_the_asked_share_above(run):
    for contamination in (0.1, 0.25, 0.5):
        found = anomaly.detector(run, X, contamination=contamination)
        assert found.anomalous(X).sum() == int(contamination * len(X))
    assert anomaly.detector(run, X).anomalous(NEW)[-2:].all()
    assert anomaly.threshold(np.arange(11), 0.3) == 7.0


@pytest.mark.parametrize("contamination", [0, -0.1, 0.51, 1, float("nan"), "auto", True, None])
def test_contamination_outside_its_range_is_refused(run, contamination):
    for call in (
        lambda: anomaly.threshold([1.0, 2.0], contamination),
        lambda: anomaly.detector(run, X, contamination=contamination),
    ):
        with pytest.raises(ConfigError, match=r"\(0, 0.5\], got"):
            call()


def test_of_many_training_examples_some_are_kept(run):
    found = anomaly.detector(run, X, kept=11)
    assert found.reference["vectors"].shape == (11, 6)  # code and residual
    assert found.training_scores.shape == (len(X),)
    with pytest.raises(ConfigError, match="kept must be a positive whole number, got 0"):
        anomaly.detector(run, X, kept=0)


def test_ranking_is_that_of_scikit_learn():
    labels = RNG.integers(0, 2, 50)
    scores = RNG.normal(size=50) + labels
    got = anomaly.ranking(scores, labels.astype(bool))
    assert got["auroc"] == roc_auc_score(labels, scores)
    assert got["average_precision"] == average_precision_score(labels, scores)
    for bad, match in (([0] * 50, "all 50 examples are normal"), ([1] * 50, "are anomalous")):
        with pytest.raises(DataError, match=match):
            anomaly.ranking(scores, bad)
    with pytest.raises(DataError, match="0 .normal. or 1 .anomalous., got .-1, 1"):
        anomaly.ranking(scores, np.where(labels, 1, -1))
    with pytest.raises(DataError, match="1 of 2 scores are not finite"):
        anomaly.ranking([np.nan, 1.0], [0, 1])
    with pytest.raises(ShapeError, match=r"\(50,\) and \(2,\)"):
        anomaly.ranking(scores, [0, 1])


def test_every_score_that_fits_is_judged_by_a_label(run):
    label = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    test = ae.data.Arrays(NEW, {"label": label})
    got = anomaly.judged(run, X, test)
    for name in anomaly.fitting(run):
        want = anomaly.ranking(anomaly.detector(run, X, name).scores(NEW), label)
        assert want["auroc"] == got[f"auroc_{name}"]
        assert want["average_precision"] == got[f"average_precision_{name}"]
    assert got["auroc_nearest"] == 1.0
    assert got["auroc_nearest_codes"] < 1.0  # one of the two lies within the codes' reach
    with pytest.raises(DataError, match="no label 'labl'; did you mean 'label'"):
        anomaly.judged(run, X, test, "labl")
    with pytest.raises(DataError, match="all 8 examples are normal"):
        anomaly.judged(run, X, ae.data.Arrays(NEW, {"label": 0 * label}))


def test_scores_that_do_not_fit_name_the_nearest_that_does(run, vae):
    point = ["nearest", "reconstruction", "mahalanobis", "code_density", "nearest_codes"]
    assert anomaly.fitting(run) == point
    assert set(anomaly.fitting(vae)) == {*point, "negative_elbo", "importance_weighted"}
    for name in ("negative_elbo", "importance_weighted", "corrupted_passes"):
        with pytest.raises(PartError, match=f"'{name}' .*nearest .* 'reconstruction'"):
            anomaly.detector(run, X, name)
    with pytest.raises(UnknownNameError, match="did you mean 'mahalanobis'"):
        anomaly.detector(run, X, "mahalanobi")
    with pytest.raises(DataError, match=r"5 neighbours need more .* \(neighbours=3\)"):
        anomaly.detector(run, X[:4])


@pytest.mark.slow
def test_a_masked_autoencoder_is_judged_by_what_it_fills_in():
    small = {"width": 8, "depth": 1, "heads": 1}
    recipe = ae.recipes.masked_autoencoder(
        (4, 8),
        patch=2,
        rate=0.5,
        encoder=ae.networks.vit(2, mask_rate=0.5, pool="none", **small),
        decoder=ae.networks.vit_decoder(2, **small),
    )
    spec = ae.Spec((4, 4, 1), "real")
    model, objective = recipe.build(spec)
    variables = fast.jit(model.init)(jax.random.key(0), np.zeros((4, 4, 1), np.float32))
    config = ae.config.complete({"parallel": {"devices": 1}})
    parts = config, ae.data.preprocessing.none(), spec, (4, 4, 1), 9, (0.0, 1.0)
    run = ae.Run(model, objective, jax.tree.map(np.asarray, variables), *parts)
    x = RNG.random((9, 4, 4, 1)).astype(np.float32)
    for score in ("nearest", "reconstruction"):
        with pytest.raises(PartError, match="'corrupted_passes'"):
            anomaly.detector(run, x, score)
    scores = anomaly.detector(run, x, anomaly.corrupted_passes(passes=2)).scores(x)
    seen, passes = [], ae.keys.for_examples(ae.keys.root(0), None, np.zeros(9, np.uint32))
    for i in range(2):
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(passes.corruption, i)
        hidden = np.asarray(jax.vmap(lambda k, v: model.corruption(k, v)[1]["mask"])(keys, x))
        filled = run.reconstruct(x, mask=hidden)
        seen.append((0.5 * (x - filled) ** 2 + CONSTANT * hidden).sum((1, 2, 3)))
    np.testing.assert_allclose(scores, np.mean(seen, axis=0), rtol=1e-4)
