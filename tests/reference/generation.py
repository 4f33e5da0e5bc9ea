"""Distances and manifolds of generated examples, in NumPy and SciPy, as in their papers."""

import numpy as np
from scipy.linalg import sqrtm


def frechet_distance(real, generated):
    """Heusel et al. 2017, by SciPy's matrix square root."""
    mean_a, mean_b = real.mean(0), generated.mean(0)
    a, b = (np.cov(x, rowvar=False) for x in (real, generated))
    return np.sum((mean_a - mean_b) ** 2) + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))


def kernel_distance(real, generated):
    """The unbiased estimate of Gretton et al. 2012, lemma 6, one pair after the other."""
    kernel = lambda x, y: (x @ y / len(x) + 1) ** 3
    n, m = len(real), len(generated)
    within_real = sum(kernel(real[i], real[j]) for i in range(n) for j in range(n) if i != j)
    pairs = ((i, j) for i in range(m) for j in range(m) if i != j)
    within_generated = sum(kernel(generated[i], generated[j]) for i, j in pairs)
    between = sum(kernel(x, y) for x in real for y in generated)
    return within_real / (n * (n - 1)) + within_generated / (m * (m - 1)) - 2 * between / (n * m)


def radius(x, i, k):
    """From row i to its k-th nearest other row."""
    return sorted(np.linalg.norm(x[i] - x[j]) for j in range(len(x)) if j != i)[k - 1]


def on_manifold(point, manifold, k):
    """Whether a point lies in one of the balls, Kynkäänniemi et al. 2019, equation 1."""
    inside = (
        np.linalg.norm(point - manifold[i]) <= radius(manifold, i, k) for i in range(len(manifold))
    )
    return any(inside)


def prdc(real, generated, k):
    """Precision, recall, density and coverage, Naeem et al. 2020, section 3."""
    n, m = len(real), len(generated)
    inside = np.array(
        [[np.linalg.norm(real[i] - y) <= radius(real, i, k) for y in generated] for i in range(n)]
    )
    return {
        "precision": np.mean([on_manifold(y, real, k) for y in generated]),
        "recall": np.mean([on_manifold(x, generated, k) for x in real]),
        "density": inside.sum() / (k * m),
        "coverage": np.mean(inside.any(axis=1)),
    }
