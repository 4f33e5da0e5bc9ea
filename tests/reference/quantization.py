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
