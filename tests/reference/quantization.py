"""Vector quantisation in double precision, one vector at a time."""

import numpy as np


def nearest(features, codebook):
    """The number of the nearest code of each vector, the first of several."""
    rows = np.reshape(features, (-1, codebook.shape[1]))
    distances = [[np.sum((row - code) ** 2) for code in codebook] for row in rows]
    return np.argmin(distances, axis=1).reshape(np.shape(features)[:-1])


def commitment(features, codes):
    value = np.linalg.norm(np.ravel(features) - np.ravel(codes)) ** 2
    return value, value


def sums(features, codebook):
    """How often each code is the nearest, and the sum and squared error of its vectors."""
    size, dimension = codebook.shape
    counts, totals, errors = np.zeros(size), np.zeros((size, dimension)), np.zeros(size)
    rows = np.reshape(features, (-1, dimension))
    for row, number in zip(rows, nearest(rows, codebook), strict=True):
        counts[number] += 1
        totals[number] += row
        errors[number] += np.sum((row - codebook[number]) ** 2)
    return counts, totals, errors


def moving_average(state, features, decay):
    """Codebook, counts and sums after a step, of van den Oord et al. 2017, appendix A.1."""
    codebook, counts, totals = state
    new_counts, new_totals, _ = sums(features, codebook)
    counts = decay * counts + (1 - decay) * new_counts
    totals = decay * totals + (1 - decay) * new_totals
    return totals / counts[:, None], counts, totals


def rotation(features, codes):
    """The matrix that takes features to codes, of Fifty et al. 2024, §4.2, for one vector each."""
    e, q = np.float64(features), np.float64(codes)
    a, b = e / np.linalg.norm(e), q / np.linalg.norm(q)
    w = (a + b) / np.linalg.norm(a + b)
    turn = np.eye(len(e)) - 2 * np.outer(w, w) + 2 * np.outer(b, a)
    return np.linalg.norm(q) / np.linalg.norm(e) * turn


def residual(features, codebooks):
    """Numbers `[*positions, levels]` and the residuals that each level saw `[levels, …]`."""
    rest, numbers, rests = np.float64(features), [], []
    for codebook in np.float64(codebooks):
        rests.append(rest)
        numbers.append(nearest(rest, codebook))
        rest = rest - codebook[numbers[-1]]
    return np.stack(numbers, -1), np.stack(rests)


def soft_assignment(features, size, temperature):
    """All codes {-size, size}^d by number, and softmax(-‖z - c‖² / τ) over them."""
    d = features.shape[-1]
    numbers = np.arange(2**d)
    codes = size * (2.0 * (numbers[:, None] >> np.arange(d) & 1) - 1)
    squares = np.sum((np.float64(features)[..., None, :] - codes) ** 2, axis=-1)
    weights = np.exp(-(squares - squares.min(-1, keepdims=True)) / temperature)
    return codes, weights / weights.sum(-1, keepdims=True)


def entropy(p):
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=-1)


def bit_entropy(logits):
    p = 1 / (1 + np.exp(-np.float64(logits)))
    value = np.sum(entropy(np.stack([p, 1 - p], -1)))
    return value, max(value, 1e-3)


def usage_deficit(probabilities):
    p = np.float64(probabilities)
    value = np.sum(np.sum(p, axis=-1) * np.log(p.shape[-1]) - entropy(p))
    return value, np.sum(np.log(p.shape[-1]) + entropy(p))
