"""Ensembles: means and disagreement are NumPy's of what each member says by itself."""

import dataclasses

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

import ae_jax as ae
from ae_jax.data import preprocessing
from ae_jax.errors import ConfigError, DataError, PartError, ShapeError
from ae_jax.evaluation import anomaly
from tests.evaluation.test_anomaly import FIRST_TWO, LINEAR, NEW, VARIANCE, X, linear_run


def turned(seed, recipe=None, scale=1.0):
    """A linear run whose code is the first two columns, and whose decoder errs by a seed."""
    wrong = np.eye(4)[:2] + 0.3 * np.random.default_rng(seed).normal(size=(2, 4))
    weights = FIRST_TWO | {("decoder", "kernel"): wrong / scale}
    weights[("encoder", "kernel")] = np.eye(4)[:, :2] * scale
    return linear_run(ae.recipes.autoencoder(2, **LINEAR) if recipe is None else recipe, weights)


def vae(seed):
    encoder = np.concatenate([np.eye(4)[:, :2], np.zeros((4, 2))], axis=1)
    weights = {
        ("encoder", "kernel"): encoder,
        ("encoder", "bias"): [0, 0, np.log(VARIANCE), np.log(VARIANCE)],
        ("decoder", "kernel"): np.random.default_rng(seed).normal(size=(2, 4)),
    }
    return linear_run(ae.recipes.vae(2, **LINEAR), weights)


@pytest.fixture(scope="module")
def runs():
    return [turned(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def vaes():
    return [vae(seed) for seed in range(3)]


@pytest.mark.parametrize("score", ["nearest", "reconstruction"])
def test_a_detector_is_the_mean_of_its_members_standardised_scores(runs, score):
    alone = [anomaly.detector(run, X, score, contamination=0.2) for run in runs]
    train = np.stack([detector.training_scores for detector in alone])
    centre, spread = train.mean(axis=1, keepdims=True), train.std(axis=1, keepdims=True)
    want = (np.stack([detector.scores(NEW) for detector in alone]) - centre) / spread
    found = ae.ensemble(runs).detector(X, score, contamination=0.2)
    got = found.opinions(NEW)
    np.testing.assert_allclose(got.members, want, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got.mean, want.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got.disagreement, want.std(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.scores(NEW), got.mean)
    votes = ((train - centre) / spread).mean(axis=0)
    np.testing.assert_allclose(found.training_scores, votes, rtol=1e-6, atol=1e-6)
    limit = np.quantile(votes, 0.8)
    assert found.threshold == pytest.approx(limit)
    np.testing.assert_array_equal(found.anomalous(NEW), got.mean > limit)


def test_a_member_with_other_units_of_score_has_one_vote(runs):
    louder = [*runs[:2], dataclasses.replace(runs[2])]
    found = [ae.ensemble(louder).detector(X, "reconstruction")]
    scaled = [
        dataclasses.replace(d, training_scores=d.training_scores * factor)
        for d, factor in zip(found[0].detectors, (1, 1, 1000), strict=True)
    ]
    other = ae.evaluation.EnsembleDetector.of(scaled, 0.1)
    np.testing.assert_allclose(other.training_scores, found[0].training_scores, rtol=1e-6)


def test_scores_without_spread_are_no_division_by_zero(runs):
    alone = anomaly.detector(runs[0], X, "reconstruction")
    same = dataclasses.replace(alone, training_scores=np.full(len(X), 2.0))
    found = ae.evaluation.EnsembleDetector.of([same, same], 0.1)
    np.testing.assert_allclose(found.scores(NEW), alone.scores(NEW) - 2.0, rtol=1e-6)
    assert found.opinions(NEW).disagreement.max() == 0


def test_the_mixture_s_bound_is_the_log_mean_of_the_members_likelihoods(vaes):
    alone = np.stack([run.log_likelihood(NEW, samples=8, seed=3) for run in vaes])
    got = ae.ensemble(vaes).log_likelihood(NEW, samples=8, seed=3)
    np.testing.assert_allclose(got.members, alone, rtol=1e-6)
    np.testing.assert_allclose(got.mean, alone.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(got.disagreement, alone.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(got.mixture, logsumexp(alone, axis=0, b=1 / 3), rtol=1e-6)
    assert (got.mixture >= got.mean).all()
    assert got.mixture.dtype == np.float64


def test_one_member_is_itself(vaes):
    got = ae.ensemble(vaes[:1]).log_likelihood(NEW, samples=4)
    np.testing.assert_allclose(got.mixture, vaes[0].log_likelihood(NEW, samples=4), rtol=1e-6)
    np.testing.assert_array_equal(got.disagreement, 0)


def test_members_that_compute_the_same_functions_share_their_programs(runs, vaes):
    pair = ae.ensemble([*runs, vaes[0], vaes[1]]).runs
    shared = lambda a, b: a._programs is b._programs
    assert shared(pair[0], pair[2])
    assert shared(pair[3], pair[4])
    assert not shared(pair[0], pair[3])
    for run, given in zip(pair, [*runs, *vaes], strict=False):
        assert run.variables is given.variables
        assert run.config is given.config
    other = dataclasses.replace(runs[1], preprocessing=preprocessing.scale(0.0, 2.0))
    assert not shared(*ae.ensemble([runs[0], other]).runs)


def test_each_member_is_evaluated_by_its_own_objective(vaes):
    """Sharing is of what is computed of examples, never of a β."""
    objective = ae.terms.reconstruction() + 4.0 * ae.terms.kl()
    heavier = dataclasses.replace(vaes[0], objective=objective)
    members = ae.ensemble([vaes[0], heavier]).runs
    losses = [run.evaluate(X) for run in members]
    assert losses[0]["kl"] == pytest.approx(losses[1]["kl"])
    gap = losses[1]["loss"] - losses[0]["loss"]
    assert gap == pytest.approx(3 * losses[0]["kl"], rel=1e-4)


def test_the_members_of_a_population_that_have_not_diverged_are_one(runs):
    class Population(list):
        member = list.__getitem__

    made = Population(runs)
    made.table = [{"member": i, "status": ("trained", "diverged")[i == 1]} for i in range(3)]
    group = ae.ensemble(made)
    assert [id(run.variables) for run in group.runs] == [id(runs[i].variables) for i in (0, 2)]


def test_what_makes_no_ensemble_is_refused(runs, vaes):
    with pytest.raises(DataError, match="needs one run or more, got none"):
        ae.ensemble([])
    with pytest.raises(PartError, match="member 1 of an ensemble must be a Run, got 'runs/a'"):
        ae.ensemble([runs[0], "runs/a"])
    other = dataclasses.replace(runs[0], data_shape=(5,))
    with pytest.raises(ShapeError, match=r"got shape \(4,\) of member 0 and \(5,\) of member 1"):
        ae.ensemble([runs[0], other])
    with pytest.raises(PartError, match="member 1 has no prior"):
        ae.ensemble([vaes[0], runs[0]]).log_likelihood(NEW)
    scaled = dataclasses.replace(vaes[1], preprocessing=preprocessing.scale(0.0, 2.0))
    with pytest.raises(ConfigError, match="members 0 and 1 are of x preprocessed in different way"):
        ae.ensemble([vaes[0], scaled]).log_likelihood(NEW)
    with pytest.raises(PartError, match="'negative_elbo' needs densities"):
        ae.ensemble(runs).detector(X, "negative_elbo")
    columns = tuple(ae.types.Column(name, "number") for name in "abcd")
    named = dataclasses.replace(runs[0], spec=runs[0].spec._replace(columns=columns))
    with pytest.raises(ShapeError, match=r"member 1 .* \['a', 'b', 'c', 'd'\] and None"):
        ae.ensemble([runs[0], named])


@pytest.mark.slow
def test_members_disagree_about_digits_that_they_have_not_seen():
    digits = ae.data.load("digits")
    seen = lambda split: np.asarray(split.extras["label"]) < 5
    train = digits.train.x[seen(digits.train)]
    options = {"steps": 300, "batch_size": 64, "progress": False}
    recipe = ae.recipes.autoencoder(8)
    runs = [ae.fit(recipe, train, seed=seed, **options) for seed in range(3)]
    found = ae.ensemble(runs).detector(train, "reconstruction").opinions(digits.test.x)
    new = ~seen(digits.test)
    disagreement = found.disagreement
    assert np.median(disagreement[new]) > 2 * np.median(disagreement[~new])  # 3.6 with four seeds
    assert roc_auc_score(new, disagreement) > 0.85  # 0.92
    alone = [roc_auc_score(new, scores) for scores in found.members]
    assert roc_auc_score(new, found.mean) > np.mean(alone)  # 0.992 to 0.983 … 0.990
