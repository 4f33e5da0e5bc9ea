"""Use of codes on constructed ones, and against plain NumPy and scikit-learn."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

import ae_jax as ae
from ae_jax.evaluation import code_metrics, fraction_of_variance_unexplained, unit_usage
from ae_jax.evaluation.code_metrics import Unexplained
from tests import small
from tests.evaluation.test_rates import untrained

RNG = np.random.default_rng(0)
X = small.arrays()[:37]


def test_units_in_use():
    z = np.zeros((3, 2, 2))
    z[0, 0, 0], z[1, 0, 0], z[1, 1, 1] = 1.0, -2.0, 1e-30
    use = unit_usage(z)
    assert use.l0.tolist() == [1, 2, 0]
    assert use.uses.tolist() == [2, 0, 0, 1]
    assert use.to_dict() == {"l0": 1.0, "dead_units": 0.5}


def test_unexplained_variance_is_one_less_r_squared():
    x = RNG.normal(size=(40, 5)) * [1, 2, 3, 4, 5] + 100
    again = x + RNG.normal(size=x.shape)
    expected = 1 - r2_score(x, again, multioutput="variance_weighted")
    assert fraction_of_variance_unexplained(x, again) == pytest.approx(expected)
    assert fraction_of_variance_unexplained(x, np.broadcast_to(x.mean(0), x.shape)) == 1
    images = x.reshape(40, 5, 1), again.reshape(40, 5, 1)
    assert fraction_of_variance_unexplained(*images) == pytest.approx(expected)


def test_unexplained_variance_of_pieces_and_of_observed_entries():
    x = RNG.normal(size=(41, 4)) + 1e4
    again, observed = x + RNG.normal(size=x.shape), RNG.random(x.shape) < 0.6
    pieces = Unexplained()
    for rows in np.array_split(np.arange(41), 5):
        pieces.add(x[rows], again[rows], observed[rows])
    error = ((x - again)[observed] ** 2).sum()
    masked = np.ma.masked_array(x, ~observed)
    expected = error / ((masked - masked.mean(0)) ** 2).sum()
    assert pieces.value == pytest.approx(expected, rel=1e-9)
    dirty = np.where(observed, x, np.nan)
    assert fraction_of_variance_unexplained(dirty, again, observed) == pytest.approx(expected)


def test_a_topk_model():
    run = untrained(ae.recipes.topk(24, k=3), devices=4)
    rows = code_metrics(run, X)
    z = run.encode(X)
    assert rows["l0"] == pytest.approx((z != 0).sum(1).mean())
    assert rows["dead_units"] == pytest.approx((~(z != 0).any(0)).mean())
    again = run.reconstruct(X)
    expected = fraction_of_variance_unexplained(X, again)
    assert rows["variance_unexplained"] == pytest.approx(expected, rel=1e-5)
    assert set(rows) == {"l0", "dead_units", "variance_unexplained"}


def test_a_codebook():
    run = untrained(ae.recipes.vq_vae((3, 2), num_codes=8), devices=4)
    rows = code_metrics(run, X)
    book = np.asarray(run.variables.state["bottleneck"]["codebook"])
    _, numbers = np.unique(run.encode(X).reshape(-1, 2), axis=0, return_inverse=True)
    counts = np.bincount(numbers)
    assert counts.sum() == 37 * 3
    assert rows["codes_used"] == len(counts) <= len(book)
    assert rows["code_perplexity"] == pytest.approx(np.exp(stats.entropy(counts)))
    assert rows["dead_codes"] == pytest.approx(1 - len(counts) / 8)
    assert set(rows) == {"codes_used", "code_perplexity", "dead_codes", "variance_unexplained"}


def test_dense_codes_of_tokens_have_nothing_to_report():
    likelihood = ae.likelihoods.categorical(num_classes=3)
    recipe = ae.recipes.vae(2, likelihood=likelihood)
    assert code_metrics(untrained(recipe), RNG.integers(0, 3, (5, small.WIDTH))) == {}
    assert set(code_metrics(untrained(ae.recipes.vae(2)), X)) == {"variance_unexplained"}
    assert code_metrics(untrained(ae.recipes.vae(2)), np.ones((4, small.WIDTH))) == {}


def test_bad_input_is_refused_in_one_line():
    refused = lambda match: pytest.raises(ae.errors.DataError, match=match)
    with refused(r"codes must be \[n, \*latent\], got shape \(3,\)"):
        unit_usage(np.zeros(3))
    with refused("x does not vary"):
        fraction_of_variance_unexplained(np.ones((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ae.errors.ShapeError, match=r"shape of x \(3, 2\), got \(3, 1\)"):
        fraction_of_variance_unexplained(np.ones((3, 2)), np.zeros((3, 1)))
