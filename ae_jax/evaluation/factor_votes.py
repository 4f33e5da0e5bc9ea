"""The two scores of disentanglement by votes of groups of examples that share a factor's value."""

from typing import Any

import numpy as np

from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.errors import DataError
from ae_jax.evaluation._arrays import probe, with_factors

VOTES = 800
GROUP = 64
ACTIVE = 0.01
"""The share of the largest variance below which a dimension counts as collapsed."""


def factor_vae_score(
    codes: Any, factors: Any, *, votes: int = VOTES, group: int = GROUP, seed: int = 0
) -> float:
    """How often the dimension that varies least tells which factor was held fixed.

    For each vote a factor and one of its values are drawn, then a group of examples with it (with
    replacement); of the dimensions divided by their deviation over all examples, the one of least
    variance in the group votes for the factor. Half of the votes settle which factor each dimension
    stands for, by majority; the score is how many of the other half agree. Dimensions of less than
    1% of the largest variance have collapsed and are left out. Kim & Mnih 2018, "Disentangling by
    factorising".

    Args:
      codes: `[n, …]`.
      factors: whole numbers `[n, f]`.
      votes: in each half.
      group: examples in each.
      seed: of the votes.

    Returns:
      A number in [0, 1]; about 1 / f for noise.

    Raises:
      DataError: no dimension varies.

    Example:
      >>> import numpy as np
      >>> factors = np.random.default_rng(0).integers(0, 4, (500, 2))
      >>> factor_vae_score(factors, factors), factor_vae_score(factors[:, :1], factors) < 0.7
      (1.0, True)
    """
    codes, factors, rng = _checked(codes, factors, votes, group, seed)
    variances = codes.var(axis=0)
    if not variances.max() > 0:
        raise DataError("no dimension of the codes varies: there is nothing to vote")
    kept = variances > ACTIVE * variances.max()
    codes = codes[:, kept] / np.sqrt(variances[kept])
    which = rng.integers(factors.shape[1], size=2 * votes)
    least = [codes[_sharing(factors[:, j], group, rng)].var(axis=0).argmin() for j in which]
    counts = np.zeros((codes.shape[1], factors.shape[1]))
    np.add.at(counts, (np.array(least[:votes]), which[:votes]), 1)
    return float(np.mean(counts.argmax(axis=1)[least[votes:]] == which[votes:]))


def beta_vae_score(
    codes: Any, factors: Any, *, votes: int = VOTES, group: int = GROUP, seed: int = 0
) -> float:
    """How well a linear classifier tells which factor pairs of examples share.

    For each vote a factor is drawn, then a group of pairs of examples, each pair sharing one of its
    values; what is classified is the mean over the group of |z - z'|, by logistic regression on
    standardised differences, fitted on half of the votes and scored on the other. Higgins et al.
    2017, "β-VAE: learning basic visual concepts with a constrained variational framework".

    Args:
      codes: `[n, …]`.
      factors: whole numbers `[n, f]`, f ≥ 2.
      votes: in each half.
      group: pairs in each.
      seed: of the votes.

    Returns:
      The accuracy, in [0, 1]; about 1 / f for noise.

    Raises:
      DataError: a single factor, of which there is nothing to tell apart.

    Example:
      >>> import numpy as np
      >>> factors = np.random.default_rng(0).integers(0, 4, (500, 2))
      >>> beta_vae_score(factors, factors, votes=100)
      1.0
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes, factors, rng = _checked(codes, factors, votes, group, seed)
    if factors.shape[1] < 2:
        raise DataError("the β-VAE score tells factors apart, and there is only one")
    which = np.tile(np.arange(votes) % factors.shape[1], 2)  # each factor equally often
    apart = np.zeros((2 * votes, codes.shape[1]))
    for i, j in enumerate(which):
        first, second = _pairs(factors[:, j], group, rng)
        apart[i] = np.abs(codes[first] - codes[second]).mean(axis=0)
    classifier = make_pipeline(StandardScaler(), probe())
    classifier.fit(apart[:votes], which[:votes])
    return float(classifier.score(apart[votes:], which[votes:]))


def _checked(codes: Any, factors: Any, votes: int, group: int, seed: int) -> tuple[Any, Any, Any]:
    require_seed(seed=seed)
    require_positive_ints(votes=votes, group=group)
    return *with_factors(codes, factors), np.random.default_rng(seed)


def _sharing(factor: np.ndarray, group: int, rng: np.random.Generator) -> np.ndarray:
    """Places of examples that share one value, each value equally likely."""
    value = rng.choice(np.unique(factor))
    return rng.choice(np.flatnonzero(factor == value), group)


def _pairs(
    factor: np.ndarray, group: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Places of pairs of examples that share a value, as likely as it is among the examples."""
    order = np.argsort(factor, kind="stable")
    ordered = factor[order]
    first = rng.integers(len(factor), size=group)
    start, end = (np.searchsorted(ordered, factor[first], side) for side in ("left", "right"))
    return first, order[rng.integers(start, end)]
