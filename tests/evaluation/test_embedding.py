"""What codes keep, against scikit-learn, loops over pairs and closed forms."""

import numpy as np
import pytest
from sklearn import manifold
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ae_jax import evaluation
from ae_jax.errors import ConfigError, DataError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)) @ np.diag([3, 2, 1, 0.5, 0.2, 0.1]) + 5
CODES = PCA(2).fit_transform(X) + 0.3 * RNG.normal(size=(60, 2))
LABELS = (X[:, 0] > 5).astype(int) + (X[:, 1] > 5)


def unfaithful(of, by, k):
    """Σ (r - k) over what is among the k nearest by one and only the r-th nearest of the other."""
    distance = lambda x: np.linalg.norm(x[:, None] - x[None], axis=-1) + np.diag([np.inf] * len(x))
    ranks = np.argsort(np.argsort(distance(of), axis=1), axis=1) + 1
    near = np.argsort(distance(by), axis=1)[:, :k]
    n = len(of)
    total = np.sum(np.maximum(np.take_along_axis(ranks, near, axis=1) - k, 0))
    return 1 - 2 * total / (n * k * (2 * n - 3 * k - 1))


@pytest.mark.parametrize("k", [1, 5, 29])
def test_trustworthiness_and_continuity_are_those_of_the_paper(k):
    got = evaluation.trustworthiness(X, CODES, k)
    assert got == manifold.trustworthiness(X, CODES, n_neighbors=k)
    assert got == pytest.approx(unfaithful(X, CODES, k), rel=1e-12)
    want = unfaithful(CODES, X, k)
    assert evaluation.continuity(X, CODES, k) == pytest.approx(want, rel=1e-12)
    assert want != got


def test_tearing_costs_continuity_and_folding_trustworthiness():
    line = np.random.default_rng(1).random((80, 1))
    torn, folded = np.where(line > 0.5, line + 5, line), np.abs(line - 0.5) * [[1, 1]]
    assert evaluation.continuity(line, torn) < 1 == evaluation.trustworthiness(line, line)
    assert evaluation.trustworthiness(line, folded) < 0.9 < evaluation.continuity(line, folded)


def test_explained_variance_is_that_of_pca():
    for size in (1, 3, 6):
        pca = PCA(size).fit(X)
        again = pca.inverse_transform(pca.transform(X))
        got = evaluation.explained_variance(X, again, X.mean(0))
        assert got == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-12)
    assert evaluation.explained_variance(X, np.full_like(X, 5), 5.0) == 0.0
    assert evaluation.explained_variance(X[:, None], 10 - X[:, None], 5.0) == pytest.approx(-3)


def test_accuracies_are_scikit_learns_and_do_not_depend_on_units():
    train, test = (CODES[:40], LABELS[:40]), (CODES[40:], LABELS[40:])
    want = KNeighborsClassifier(3).fit(*train).score(*test)
    assert evaluation.knn_accuracy(*train, *test, neighbours=3) == want
    standard = lambda codes: (codes - CODES[:40].mean(0)) / CODES[:40].std(0)
    probe = LogisticRegression(max_iter=1000).fit(standard(CODES[:40]), LABELS[:40])
    want = probe.score(standard(CODES[40:]), LABELS[40:])
    assert evaluation.probe_accuracy(*train, *test) == want
    scaled = CODES * [1e3, 1e-2] + 7
    assert evaluation.probe_accuracy(scaled[:40], LABELS[:40], scaled[40:], LABELS[40:]) == want
    assert 0.6 < want < 1


def test_bad_input_is_refused():
    with pytest.raises(DataError, match=r"30 neighbours need more than 60 .*got 60 \(n.*29"):
        evaluation.trustworthiness(X, CODES, 30)
    with pytest.raises(ConfigError, match="neighbours must be a positive whole number, got 2.5"):
        evaluation.continuity(X, CODES, 2.5)
    with pytest.raises(ShapeError, match="as many rows, got x 60, codes 59"):
        evaluation.trustworthiness(X, CODES[:59])
    with pytest.raises(ShapeError, match=r"mean must hold 6 number\(s\) or 1, got 5"):
        evaluation.explained_variance(X, X, np.zeros(5))
    with pytest.raises(DataError, match="no variance to explain"):
        evaluation.explained_variance(np.ones((4, 2)), np.ones((4, 2)), 1.0)
    whole = CODES, LABELS, CODES, LABELS
    with pytest.raises(DataError, match="61 neighbours need as many training codes, got 60"):
        evaluation.knn_accuracy(*whole, neighbours=61)
    for accuracy in (evaluation.knn_accuracy, evaluation.probe_accuracy):
        with pytest.raises(DataError, match="two classes at least to tell apart, and hold only 1"):
            accuracy(CODES, np.ones(60, int), CODES, LABELS)
        with pytest.raises(ShapeError, match="as many rows, got codes 60, labels 3"):
            accuracy(CODES, LABELS[:3], CODES, LABELS)
