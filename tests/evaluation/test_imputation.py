"""Imputation against the conditional distribution of a linear-Gaussian model, and its refusals."""

import functools

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data import preprocessing
from ae_jax.evaluation import imputation_error, impute
from ae_jax.types import Coder, Column
from tests import small
from tests.evaluation import test_likelihood as linear
from tests.evaluation.test_rates import CENTRE, DATA, SPREAD, as_run, decodes, untrained

SEEN = np.random.default_rng(3).random(DATA.shape) < 0.5
MISSING = np.where(SEEN, DATA, np.nan)


@functools.cache
def run(devices=1, far=0.0):
    """x | z ~ N(W z + b, σ² I) of standardised data; the encoder is blind: q is the prior."""
    exact = linear.run(False)
    params = dict(exact.variables.params)
    params["encoder"] = jax.tree.map(np.zeros_like, params["encoder"])
    part = preprocessing.standardise((CENTRE + far).tolist(), SPREAD.tolist())
    return as_run(exact.model, exact.variables._replace(params=params), part, devices=devices)


@functools.cache
def filled(devices=1, draws=50):
    return impute(run(devices), np.ma.masked_invalid(MISSING), 4_000, draws, seed=1)


def conditional(data=DATA, seen=SEEN):
    """Mean and deviation of every missing entry given the observed ones of its row."""
    w, b = linear.weights()
    mean = CENTRE + SPREAD * b
    covariance = (w @ w.T + linear.SIGMA**2 * np.eye(small.WIDTH)) * np.outer(SPREAD, SPREAD)
    loc, scale = data.copy(), np.ones_like(data)
    for i, o in enumerate(seen):
        gain = covariance[np.ix_(~o, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
        loc[i, ~o] = mean[~o] + gain @ (data[i, o] - mean[o])
        left = covariance[np.ix_(~o, ~o)] - gain @ covariance[np.ix_(o, ~o)]
        scale[i, ~o] = np.sqrt(np.diag(left))
    return loc, scale


def test_the_mean_is_that_of_the_conditional_gaussian():
    loc, scale = conditional()
    result = filled()
    np.testing.assert_array_equal(result.x[SEEN], DATA.astype(np.float32)[SEEN])
    error = (result.x - loc) / scale  # of which Monte Carlo leaves 1 / √effective
    assert np.abs(error * np.sqrt(result.effective)[:, None]).max() < 5
    assert np.median(result.effective) > 1_000
    assert np.sqrt(np.median((error**2)[~SEEN])) < 0.03


def test_draws_have_the_conditional_mean_and_deviation():
    loc, scale = conditional()
    draws = filled().draws
    assert draws.shape == (len(DATA), 50, small.WIDTH)
    np.testing.assert_array_equal(draws[:, 0][SEEN], DATA.astype(np.float32)[SEEN])
    standard = np.moveaxis((draws - loc[:, None]) / scale[:, None], 1, 2)[~SEEN]
    assert standard.mean() == pytest.approx(0, abs=0.05)
    assert standard.std() == pytest.approx(1, abs=0.05)
    assert np.mean(np.abs(standard) < 1.96) == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
def test_it_is_the_same_on_four_devices_and_repeats():
    one, four = filled(), filled(4)
    np.testing.assert_allclose(four.x, one.x, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(four.draws, one.draws, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(four.effective, one.effective, rtol=1e-3)
    again = impute(run(), DATA, 4_000, 50, seed=1, observed=SEEN)
    np.testing.assert_array_equal(again.x, one.x)
    np.testing.assert_array_equal(again.draws, one.draws)


def test_what_stands_at_missing_entries_has_no_influence_and_no_draws_are_none():
    dirty = impute(run(), np.where(SEEN, DATA, 1e6), 300, observed=SEEN)
    clean = impute(run(), np.where(SEEN, DATA, 0.0), 300, observed=SEEN)
    np.testing.assert_array_equal(dirty.x, clean.x)
    assert dirty.draws is None


@pytest.mark.slow
def test_data_that_float32_does_not_hold_keep_their_digits():
    far = 2.0**30
    near, there = (impute(run(far=f), DATA + f, 300, 2, observed=SEEN) for f in (0.0, far))
    assert there.x.dtype == np.float64
    np.testing.assert_allclose(there.x - far, near.x, atol=1e-3)
    np.testing.assert_allclose(there.draws - far, near.draws, atol=1e-3)
    bounds = (ae.evaluation.likelihood_bound(run(far=f), DATA + f, samples=2) for f in (0.0, far))
    near, there = (bound.bits_per_dim for bound in bounds)
    assert there == pytest.approx(near, rel=1e-4)


def test_categories_are_the_most_probable_class_and_drawn_by_their_probability():
    likelihood = ae.likelihoods.mixed(
        [("gaussian", 1), ({"name": "categorical", "num_classes": 3}, 1)]
    )
    p = np.array([0.2, 0.3, 0.5])
    columns = (Column("a", "number"), Column("b", "category", ("x", "y", "z")))
    model = decodes([0.7, *np.log(p)], likelihood, (2,))
    x, seen = np.zeros((30, 2), np.float32), np.zeros((30, 2), bool)
    seen[0] = True
    result = impute(as_run(*model, shape=(2,), columns=columns), x, 400, 200, observed=seen)
    np.testing.assert_allclose(result.x[1:], [[0.7, 2.0]] * 29, rtol=1e-5)
    np.testing.assert_allclose(result.effective, 400, rtol=1e-4)  # all samples weigh the same
    share = np.bincount(result.draws[1:, :, 1].astype(int).ravel(), minlength=3) / (29 * 200)
    np.testing.assert_allclose(share, p, atol=0.03)
    with pytest.raises(ae.errors.PartError, match="must know which columns are categories"):
        impute(as_run(*model, shape=(2,)), x, 4, observed=seen)


def reader():
    """A run whose decoder gives back the x that it is told."""
    told = lambda params, state, z, *, target=None, **_: (0 * z[0] + target, {}, {})
    decoder = Coder(lambda key, z: ({}, {}), told)
    model = run().model._replace(decoder=decoder)
    return as_run(model, run().variables)


def test_bad_input_is_refused_in_one_line():
    def refused(kind, match, model=None, x=DATA, observed=SEEN, **options):
        with pytest.raises(kind, match=match):
            impute(model or run(), x, observed=observed, **options)

    errors = ae.errors
    refused(errors.DataError, r"nothing is missing: say what is, observed=~np.isnan", observed=None)
    refused(errors.DataError, "not finite.*observed=", x=MISSING, observed=None)
    refused(errors.ConfigError, "samples must be a positive whole number, got 0", samples=0)
    refused(errors.ConfigError, "draws must be a positive whole number, got -1", draws=-1)
    refused(errors.ConfigError, "seed must be a whole number", seed=-1)
    plain = untrained(ae.recipes.autoencoder(2))
    refused(errors.PartError, "needs densities, such as those of ae.recipes.iwae", plain)
    cropped = as_run(
        *decodes(np.zeros(4), ae.likelihoods.gaussian(), (4,)), preprocessing.crop([1])
    )
    refused(errors.PartError, r"can be undone, got \(4,\) back for examples of .*6", cropped)
    refused(errors.PartError, "a decoder that does not read x itself, got 'one of your", reader())


def test_the_error_is_of_hidden_entries_alone():
    x, hidden = DATA, ~SEEN
    expected = np.mean([(DATA[i, j] / SPREAD[j]) ** 2 for i, j in np.argwhere(hidden)])
    assert imputation_error(np.where(hidden, 0, x), x, hidden, SPREAD) == pytest.approx(expected)
    with pytest.raises(ae.errors.DataError, match="nothing was hidden"):
        imputation_error(x, x, np.zeros(x.shape, bool))
    with pytest.raises(ae.errors.ShapeError, match=r"hidden must be bool .* got int64 \(40, 6\)"):
        imputation_error(x, x, hidden.astype(int))
