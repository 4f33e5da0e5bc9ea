"""Scores of disentanglement on constructed codes, whose values are known, and on noise."""

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.feature_selection import mutual_info_classif

from ae_jax import evaluation
from ae_jax.errors import ConfigError, DataError, ShapeError

SIZES = (3, 4, 5)
FACTORS = np.tile(np.array(list(itertools.product(*map(range, SIZES)))), (10, 1))
N = len(FACTORS)
NOISE = np.random.default_rng(0).normal(size=(N, 3))
ALIGNED = FACTORS * [3.0, -1.0, 0.2] + [0, 5, 1]  # a dimension a factor, in other units
TURN = np.eye(3) - 2 / 3  # orthogonal, and each factor in all dimensions
TURNED = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0) @ TURN
forests: dict[bytes, dict[str, float]] = {}


def dci(codes, factors):
    """`evaluation.dci`, once for the same codes."""
    key = np.asarray(codes).tobytes() + np.asarray(factors).tobytes()
    if key not in forests:
        forests[key] = evaluation.dci(codes, factors)
    return forests[key]


SCORES = {
    "mig": evaluation.mig,
    "sap": evaluation.sap,
    "modularity": evaluation.modularity,
    "factor_vae": evaluation.factor_vae_score,
    "beta_vae": evaluation.beta_vae_score,
    "dci_disentanglement": lambda z, v: dci(z, v)["disentanglement"],
    "dci_completeness": lambda z, v: dci(z, v)["completeness"],
}
CHANCE = {"factor_vae": 1 / 3, "beta_vae": 1 / 3}
OF_NOISE = {"mig": 0.03, "sap": 0.01, "factor_vae": 0.1, "beta_vae": 0.1, "dci_completeness": 0.05}


@pytest.mark.parametrize("name", SCORES)
def test_an_axis_aligned_code_scores_1_whatever_its_units_and_order(name):
    codes = ALIGNED[:, [2, 0, 1]]
    assert SCORES[name](codes, FACTORS) == pytest.approx(1, abs=1e-9)
    assert SCORES[name](codes + 1e-4 * NOISE, FACTORS) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", OF_NOISE)
def test_noise_scores_what_chance_gives(name):
    step = 3 if name.startswith("dci") else 1  # deep trees take long
    score = SCORES[name](NOISE[::step], FACTORS[::step])
    assert score == pytest.approx(CHANCE.get(name, 0), abs=OF_NOISE[name])


@pytest.mark.parametrize("name", ["mig", "sap", "modularity", "dci_disentanglement"])
def test_a_turned_code_scores_less(name):
    assert SCORES[name](TURNED, FACTORS) < 0.5


def test_what_spoils_which_score():
    twice = np.concatenate([ALIGNED, ALIGNED], axis=1)  # two dimensions a factor
    assert evaluation.mig(twice, FACTORS) == pytest.approx(0, abs=1e-9)
    assert evaluation.sap(twice, FACTORS) == pytest.approx(0, abs=1e-9)
    assert evaluation.modularity(twice, FACTORS) == pytest.approx(1)
    scores = evaluation.dci(twice, FACTORS)
    assert scores["disentanglement"] == pytest.approx(1, abs=1e-3)
    assert scores["completeness"] < 0.7
    whole = FACTORS @ [20, 5, 1]  # one dimension for all
    assert evaluation.modularity(whole, FACTORS, bins=60) < 0.5
    scores = evaluation.dci(whole, FACTORS)
    assert scores == pytest.approx(
        {"completeness": 1, "disentanglement": 0, "informativeness": 1}, abs=0.1
    )


def test_mutual_information_is_that_of_the_table_of_counts():
    rng = np.random.default_rng(2)
    codes = FACTORS @ rng.normal(size=(3, 2)) + 0.5 * NOISE[:, :2]
    got = evaluation.mutual_information(codes, FACTORS, bins=7)
    for i, j in itertools.product(range(2), range(3)):
        counts, *_ = np.histogram2d(codes[:, i], FACTORS[:, j], bins=(7, SIZES[j]))
        p = counts / N
        want = stats.entropy(p.sum(0)) + stats.entropy(p.sum(1)) - stats.entropy(p.ravel())
        assert got[i, j] == pytest.approx(want, rel=1e-9)
    fine = evaluation.mutual_information(ALIGNED, FACTORS)
    np.testing.assert_allclose(np.diag(fine), np.log(SIZES), rtol=1e-9)
    np.testing.assert_allclose(fine - np.diag(np.diag(fine)), 0, atol=1e-9)
    whole = mutual_info_classif(FACTORS, FACTORS[:, 1], discrete_features=True)
    np.testing.assert_allclose(fine[:, 1], whole, atol=1e-9)


def test_mig_and_modularity_of_a_half_told_code_are_in_closed_form():
    codes = np.stack([FACTORS[:, 1] // 2, FACTORS[:, 1]], axis=1)  # one of two bits, and both
    assert evaluation.mig(codes, FACTORS[:, 1:2]) == pytest.approx(0.5)
    mixed = FACTORS[:, 1] // 2 + 2 * (FACTORS[:, 1:2] % 2).ravel() * 0
    both = np.stack([FACTORS[:, 1] // 2, FACTORS[:, 1] % 2], axis=1)
    assert evaluation.modularity(mixed, both) == pytest.approx(1)
    assert evaluation.modularity(FACTORS[:, 1], both) == pytest.approx(0)


def test_sap_is_the_gap_of_squared_correlations_and_of_accuracies():
    codes = ALIGNED[:, :2] + NOISE[:, :2]
    want = []
    for factor in FACTORS.T:
        scores = sorted(stats.pearsonr(code, factor)[0] ** 2 for code in codes.T)
        want.append(scores[-1] - scores[-2])
    assert evaluation.sap(codes, FACTORS) == pytest.approx(np.mean(want), rel=1e-9)
    swapped = np.array([5, 0, 2])[FACTORS[:, 0]]  # told in full, though not by a line
    codes = np.stack([swapped, NOISE[:, 0]], axis=1)
    assert evaluation.sap(codes, FACTORS[:, 0], categorical=[0]) > 0.55  # 1 - 1/3, less what fits
    assert evaluation.sap(codes, FACTORS[:, 0]) < 0.4


def test_collapsed_and_constant_dimensions_count_for_nothing():
    tiny = np.concatenate([ALIGNED, 1e-3 * NOISE, np.ones((N, 1))], axis=1)
    assert evaluation.factor_vae_score(tiny, FACTORS) == 1
    assert evaluation.mig(tiny, FACTORS) == pytest.approx(1, abs=0.05)
    still = np.concatenate([ALIGNED, np.ones((N, 2))], axis=1)
    for name in ("mig", "sap", "modularity"):
        assert SCORES[name](still, FACTORS) == pytest.approx(1)
    assert evaluation.modularity(np.ones((N, 2)), FACTORS) == 0


@pytest.mark.slow
def test_all_scores_stand_in_one_table_the_same_for_the_same_seed():
    codes, factors = TURNED[::3].reshape(-1, 3, 1), FACTORS[::3]
    first = evaluation.disentanglement(codes, factors, seed=5)
    assert set(first) == set(SCORES) | {"dci_informativeness"}
    assert first["mig"] == evaluation.mig(codes, factors)
    assert first["sap"] == evaluation.sap(codes, factors)
    assert first["modularity"] == evaluation.modularity(codes, factors)
    again, other = (evaluation.dci(codes, factors, seed=seed) for seed in (5, 6))
    assert {f"dci_{name}": value for name, value in again.items()}.items() <= first.items()
    assert other["completeness"] != again["completeness"]
    votes = [evaluation.beta_vae_score(codes, factors, votes=60, seed=s) for s in (5, 5, 6)]
    assert votes[0] == votes[1] != votes[2]


@pytest.mark.parametrize("name", SCORES)
def test_factors_that_cannot_be_told_are_refused(name):
    score = SCORES[name]
    constant = np.where([False, True, False], 7, FACTORS)
    with pytest.raises(DataError, match="factor 1 is 7 throughout and tells nothing: leave it out"):
        score(ALIGNED, constant)
    with pytest.raises(ShapeError, match="whole numbers.*float64; cut continuous ones into bins"):
        score(ALIGNED, 1.0 * FACTORS)
    with pytest.raises(ShapeError, match=f"as many rows, got codes 9, factors {N}"):
        score(ALIGNED[:9], FACTORS)
    with pytest.raises(DataError, match="not finite, the first inf"):
        score(np.where(ALIGNED[0] == ALIGNED, np.inf, ALIGNED), FACTORS)


def test_options_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="columns of factors, 0 … 2, got 3"):
        evaluation.sap(ALIGNED, FACTORS, categorical=[0, 3])
    with pytest.raises(ConfigError, match="votes must be a positive whole number, got 0"):
        evaluation.factor_vae_score(ALIGNED, FACTORS, votes=0)
    with pytest.raises(DataError, match="no dimension of the codes varies"):
        evaluation.factor_vae_score(np.ones((N, 2)), FACTORS)
    with pytest.raises(DataError, match="tells factors apart, and there is only one"):
        evaluation.beta_vae_score(ALIGNED, FACTORS[:, 0])
