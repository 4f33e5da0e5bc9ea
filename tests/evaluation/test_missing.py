"""Entries hidden at random and filled in again: against the exact answer and NumPy."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data import Arrays, Dataset
from ae_jax.errors import ConfigError, DataError, PartError
from ae_jax.evaluation import missing_entries
from tests import small, untrained
from tests.evaluation import test_imputation as exact
from tests.evaluation.test_rates import DATA

SPLITS = Dataset(Arrays(DATA), Arrays(DATA[:30]))


@pytest.fixture(scope="module")
def table():
    return missing_entries(exact.run(), SPLITS, samples=2_000, seed=4)


def conditional_error(hidden):
    """What the exact conditional mean leaves, in squared deviations of the columns."""
    x = DATA[:30].astype(np.float64)
    loc, _ = exact.conditional(x, ~hidden)
    return np.mean((((loc - x) / DATA.std(axis=0)) ** 2)[hidden])


def test_the_error_is_that_of_the_exact_model_and_of_the_mean(table):
    hidden = np.random.default_rng(4).random((30, small.WIDTH)) < 0.5
    assert table["hidden"] == hidden.sum()
    assert table["run"] == pytest.approx(conditional_error(hidden), rel=0.03)
    x = DATA.astype(np.float64)
    ours = np.mean((((x.mean(0) - x[:30]) / x.std(0)) ** 2)[hidden])
    assert table["mean"] == pytest.approx(ours, rel=1e-6)
    assert table["effective_samples"] > 100


def test_neighbours_that_hold_the_very_example_find_it():
    """Test examples are training examples here: of 1 neighbour, the answer would be exact."""
    copies = np.repeat(DATA[:9], 6, axis=0)
    same = Dataset(Arrays(copies), Arrays(DATA[:9]))
    table = missing_entries(exact.run(), same, rate=0.2, samples=10)
    assert table["neighbours"] == pytest.approx(0, abs=1e-9)
    assert table["mean"] > 0.1


def test_what_was_missing_before_is_no_part_of_the_error():
    observed = np.ones(DATA.shape, bool)
    observed[:, 0] = np.arange(len(DATA)) % 2 == 0
    wrong = np.where(observed, DATA, 1e6).astype(np.float32)
    given = Dataset(Arrays(wrong, {}, observed), Arrays(wrong[:30], {}, observed[:30]))
    table = missing_entries(exact.run(), given, samples=50)
    assert table["mean"] < 10
    assert table["hidden"] < 0.5 * observed[:30].sum() * 1.3


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ConfigError, match=r"rate must lie in \(0, 1\), got 1"):
        missing_entries(exact.run(), SPLITS, rate=1)
    with pytest.raises(DataError, match="there are none"):
        missing_entries(exact.run(), SPLITS._replace(test=Arrays(DATA[:0])))
    with pytest.raises(DataError, match="5 neighbours need more training examples, got 5"):
        missing_entries(exact.run(), SPLITS._replace(train=Arrays(DATA[:5])))
    plain = untrained.run_of(ae.recipes.autoencoder(2), DATA)
    with pytest.raises(PartError, match="importance weights needs densities"):
        missing_entries(plain, SPLITS)
