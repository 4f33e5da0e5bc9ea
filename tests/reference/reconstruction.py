"""Reconstruction losses in NumPy; each returns the value and the sum of its absolute summands."""

import numpy as np
from scipy.special import log_expit


def _entries(*arrays, observed):
    keep = np.ones(arrays[0].shape, bool) if observed is None else observed
    return [array[keep] for array in arrays]


def _summed(summands):
    return float(summands.sum()), float(np.abs(summands).sum())


def squared_error(x, reconstruction, observed=None):
    x, reconstruction = _entries(x, reconstruction, observed=observed)
    return _summed((x - reconstruction) ** 2)


def absolute_error(x, reconstruction, observed=None):
    x, reconstruction = _entries(x, reconstruction, observed=observed)
    return _summed(np.abs(x - reconstruction))


def huber(x, reconstruction, observed=None, *, delta=1.0):
    x, reconstruction = _entries(x, reconstruction, observed=observed)
    error = np.abs(x - reconstruction)
    inside = error <= delta
    quadratic = 0.5 * error[inside] ** 2
    linear = delta * (error[~inside] - 0.5 * delta)
    return _summed(np.concatenate([quadratic, linear]))


def binary_cross_entropy(logits, x, observed=None):
    logits, x = _entries(logits, x, observed=observed)
    summands = np.concatenate([-x * log_expit(logits), -(1 - x) * log_expit(-logits)])
    return _summed(summands)


def cosine_distance(x, reconstruction, observed=None):
    x, reconstruction = _entries(x, reconstruction, observed=observed)
    lengths = np.linalg.norm(x), np.linalg.norm(reconstruction)
    if not all(lengths):
        return float(any(lengths)), 1.0
    cosine = np.sum((x / lengths[0]) * (reconstruction / lengths[1]))
    return float(1 - cosine), float(1 + abs(cosine))
