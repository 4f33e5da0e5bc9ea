"""How well single dimensions of a code stand for single factors of the data, on plain arrays.

Codes are `[n, …]`, flattened to d dimensions: posterior means, as `Run.encode` gives them, unless a
function says otherwise. Factors are whole numbers `[n, f]`, the value of each factor by its number.
Published figures of one score differ several hundredfold between programs with their estimators,
so that these are fixed here: equal codes, factors and seed give equal scores.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.errors import ConfigError
from ae_jax.evaluation._arrays import with_factors

BINS = 20
TREES = 50


def disentanglement(
    codes: Any, factors: Any, *, categorical: Sequence[int] = (), seed: int = 0
) -> dict[str, float]:
    """All scores of this module, each in [0, 1].

    Args:
      codes: `[n, …]`.
      factors: whole numbers `[n, f]`.
      categorical: the columns of factors whose values have no order, for `sap`.
      seed: of what is random.

    Returns:
      "mig", "sap", "modularity", "dci_disentanglement", "dci_completeness", "dci_informativeness",
      "factor_vae" and "beta_vae".

    Raises:
      DataError: a factor that does not vary, or a value that is not finite.
      ShapeError: not as many codes as factors.

    Example:
      >>> import numpy as np
      >>> factors = np.random.default_rng(0).integers(0, 4, (500, 2))
      >>> scores = disentanglement(1.0 * factors, factors)
      >>> round(scores["mig"], 1), scores["factor_vae"]
      (1.0, 1.0)
    """
    from ae_jax.evaluation.factor_votes import beta_vae_score, factor_vae_score

    return {
        "mig": mig(codes, factors),
        "sap": sap(codes, factors, categorical=categorical),
        "modularity": modularity(codes, factors),
        **{f"dci_{name}": value for name, value in dci(codes, factors, seed=seed).items()},
        "factor_vae": factor_vae_score(codes, factors, seed=seed),
        "beta_vae": beta_vae_score(codes, factors, seed=seed),
    }


def mutual_information(codes: Any, factors: Any, bins: int = BINS) -> np.ndarray:
    """I(z_i; v_j) of each dimension and factor in nats, `[d, f]`, from a histogram.

    Each dimension is cut into `bins` of equal width from its least to its largest value; the
    estimate is the plug-in one, biased upwards by about (bins - 1)(values - 1) / 2n.

    Args:
      codes: `[n, …]`.
      factors: whole numbers `[n, f]`.
      bins: how many.

    Returns:
      `[d, f]`.

    Example:
      >>> import numpy as np
      >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
      >>> mutual_information(factors[:, :1], factors, bins=2).round(4).tolist()
      [[0.6931, 0.0]]
    """
    from sklearn.metrics import mutual_info_score

    codes, factors = with_factors(codes, factors)
    require_positive_ints(bins=bins)
    edges = [np.histogram_bin_edges(code, bins)[1:-1] for code in codes.T]
    cut = [np.digitize(code, edge) for code, edge in zip(codes.T, edges, strict=True)]
    table = [[mutual_info_score(factor, code) for factor in factors.T] for code in cut]
    return np.maximum(np.array(table), 0)  # rounding leaves independent ones just below


def mig(codes: Any, factors: Any, bins: int = BINS) -> float:
    """The mutual information gap: how far the best dimension for a factor is above the second.

    1/f Σ_j (I(z_(1); v_j) - I(z_(2); v_j)) / H(v_j), by `mutual_information` of posterior means.
    Chen, Li, Grosse & Duvenaud 2018, "Isolating sources of disentanglement in variational
    autoencoders", integrate over posteriors instead; means and 20 bins are what Locatello et al.
    2019 compare by. Of a single dimension the second is 0.

    Args:
      codes: `[n, …]`.
      factors: whole numbers `[n, f]`.
      bins: of each dimension's histogram.

    Returns:
      A number in [0, 1]: 1 for a dimension a factor, 0 for noise, up to the estimate's bias.

    Example:
      >>> import numpy as np
      >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
      >>> mig(factors, factors), mig(factors[:, [0, 1, 1]], factors)
      (1.0, 0.5)
    """
    information = mutual_information(codes, factors, bins)
    _, factors = with_factors(codes, factors)
    padded = np.sort(np.pad(information, ((1, 0), (0, 0))), axis=0)
    return float(np.mean((padded[-1] - padded[-2]) / _entropies(factors)))


def modularity(codes: Any, factors: Any, bins: int = BINS) -> float:
    """Whether each dimension tells of one factor alone, though several may tell of the same.

    1/d Σ_i (1 - Σ_{j ≠ j*} I(z_i; v_j)² / (I(z_i; v_j*)² (f - 1))), j* the factor that z_i tells
    most of: Ridgeway & Mozer 2018, "Learning deep disentangled embeddings with the F-statistic
    loss". Dimensions that are constant are left out; of a single factor it is 1.

    Args:
      codes: `[n, …]`.
      factors: whole numbers `[n, f]`.
      bins: see `mutual_information`.

    Returns:
      A number in [0, 1]; 0 if no dimension varies.

    Example:
      >>> import numpy as np
      >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
      >>> modularity(factors[:, [0, 1, 1]], factors)
      1.0
    """
    square = mutual_information(codes, factors, bins) ** 2
    most = square.max(axis=1)
    square, most = square[most > 0], most[most > 0]
    if not len(most):
        return 0.0
    others = (square.sum(axis=1) - most) / most
    return float(np.mean(1 - others / max(1, square.shape[1] - 1)))


def sap(codes: Any, factors: Any, categorical: Sequence[int] = ()) -> float:
    """Separated attribute predictability: the gap between the two dimensions that tell most.

    A dimension's score for a factor is their squared correlation, R² of a linear regression, and
    for a categorical factor of c values the balanced accuracy of at most c intervals fitted to the
    dimension: Kumar, Sattigeri & Balakrishnan 2018, "Variational inference of disentangled latent
    concepts from unlabeled observations". Of a single dimension the second score is 0.

    Args:
      codes: `[n, …]`.
      factors: whole numbers `[n, f]`.
      categorical: the columns of factors whose values have no order.

    Returns:
      The mean gap over factors, in [0, 1].

    Raises:
      ConfigError: a categorical column that there is not.

    Example:
      >>> import numpy as np
      >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
      >>> sap(factors, factors), sap(factors, factors, categorical=[0])
      (1.0, 0.75)
    """
    codes, factors = with_factors(codes, factors)
    wrong = [j for j in categorical if j not in range(factors.shape[1])]
    if wrong:
        raise ConfigError(
            f"categorical must hold columns of factors, 0 … {factors.shape[1] - 1}, got {wrong[0]}"
        )
    columns = [
        _accuracies(codes, factor) if j in categorical else _correlations(codes, factor)
        for j, factor in enumerate(factors.T)
    ]
    padded = np.sort(np.pad(np.stack(columns, axis=1), ((1, 0), (0, 0))), axis=0)
    return float(np.mean(padded[-1] - padded[-2]))


def _correlations(codes: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Squared, `[d]`; 0 of a constant dimension."""
    centred, factor = codes - codes.mean(axis=0), factor - factor.mean()
    power = np.sum(centred**2, axis=0) * np.sum(factor**2)
    return (factor @ centred) ** 2 / np.where(power > 0, power, 1)


def _accuracies(codes: np.ndarray, factor: np.ndarray) -> np.ndarray:
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_leaf_nodes=len(np.unique(factor)), class_weight="balanced", random_state=0
    )
    guesses = (tree.fit(code[:, None], factor).predict(code[:, None]) for code in codes.T)
    return np.array([balanced_accuracy_score(factor, guess) for guess in guesses])


def dci(codes: Any, factors: Any, seed: int = 0) -> dict[str, float]:
    """Disentanglement, completeness and informativeness by the importances of random forests.

    R_ij is how much dimension i matters to a forest (50 trees of scikit-learn, all dimensions tried
    at each split) that tells factor j from all dimensions, fitted on a random half of the examples.
    Disentanglement is Σ_i ρ_i (1 - H_f(R_i / Σ_j R_ij)), ρ_i the share of dimension i in all of R
    and H_f the entropy to base f; completeness Σ_j σ_j (1 - H_d(R_·j / Σ_i R_ij)), σ_j likewise;
    informativeness the forests' mean accuracy on the other half. Eastwood & Williams 2018, "A
    framework for the quantitative evaluation of disentangled representations".

    Args:
      codes: `[n, …]`.
      factors: whole numbers `[n, f]`.
      seed: of the halves and the forests.

    Returns:
      "disentanglement", "completeness" and "informativeness", in [0, 1].

    Example:
      >>> import numpy as np
      >>> factors = np.random.default_rng(0).integers(0, 3, (300, 2))
      >>> {name: round(value, 1) for name, value in dci(factors, factors).items()}
      {'disentanglement': 1.0, 'completeness': 1.0, 'informativeness': 1.0}
    """
    from sklearn.ensemble import RandomForestClassifier

    require_seed(seed=seed)
    codes, factors = with_factors(codes, factors)
    order = np.random.default_rng(seed).permutation(len(codes))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    importances, accuracies = [], []
    options: Any = {"max_features": None, "random_state": seed}
    for factor in factors.T:
        forest = RandomForestClassifier(TREES, **options)
        forest.fit(codes[first], factor[first])
        importances.append(forest.feature_importances_)
        accuracies.append(forest.score(codes[second], factor[second]))
    matters = np.stack(importances, axis=1)
    return {
        "disentanglement": _concentration(matters),
        "completeness": _concentration(matters.T),
        "informativeness": float(np.mean(accuracies)),
    }


def _concentration(matters: np.ndarray) -> float:
    """Σ_i ρ_i (1 - H(row i)), the entropy to the base of its length; of one column 1."""
    total = matters.sum(axis=1, keepdims=True)
    share = matters / np.where(total > 0, total, 1)
    bits = -np.sum(share * np.log(np.where(share > 0, share, 1)), axis=1)
    spread = bits / np.log(max(2, matters.shape[1]))
    return float(np.sum(total[:, 0] * (1 - spread)) / max(total.sum(), 1e-300))


def _entropies(factors: np.ndarray) -> np.ndarray:
    """H(v_j) in nats, `[f]`."""
    counts = [np.unique(factor, return_counts=True)[1] / len(factor) for factor in factors.T]
    return np.array([-np.sum(p * np.log(p)) for p in counts])
