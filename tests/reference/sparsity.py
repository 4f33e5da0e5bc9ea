"""Sparsity penalties in double precision; every function returns value and scale.

The scale is the sum of the absolute values of the summands, against which errors are judged.
"""

import numpy as np


def _log(x, clamp=1e-8):
    """Logarithm, continued by its tangent below the clamp."""
    return np.log(x) if x >= clamp else np.log(clamp) + (x - clamp) / clamp


def sparsity_kl(rho_hat, *, rho):
    summands = []
    for rate in np.ravel(rho_hat):
        summands.append(rho * (np.log(rho) - _log(rate)))
        summands.append((1 - rho) * (np.log1p(-rho) - _log(1 - rate)))
    return np.sum(summands), np.sum(np.abs(summands))


def l1(code):
    return np.linalg.norm(np.ravel(code), 1), np.linalg.norm(np.ravel(code), 1)


def l0_surrogate(code, *, scale):
    folded = np.exp(-2 * scale * np.abs(code))
    value = np.sum((1 - folded) / (1 + folded))
    return value, value


def dead_unit_auxiliary(residual, dead_reconstruction):
    value = np.linalg.norm(np.ravel(residual) - np.ravel(dead_reconstruction)) ** 2
    return value, value


def top_k_of_dead(pre_activations, dead, k):
    order = sorted(np.flatnonzero(dead), key=lambda unit: (-pre_activations[unit], unit))
    result = np.zeros_like(pre_activations)
    result[order[:k]] = pre_activations[order[:k]]
    return result


def top_k(units, k):
    flat = np.ravel(units)
    order = sorted(range(flat.size), key=lambda unit: (-flat[unit], unit))
    result = np.zeros_like(flat)
    result[order[:k]] = flat[order[:k]]
    return result.reshape(np.shape(units))
