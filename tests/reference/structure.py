"""Structure penalties in double precision; every function returns value and scale.

The scale is the sum of the absolute values of the summands, against which errors are judged.
"""

import numpy as np


def contractive_sigmoid(weights, hidden):
    jacobian = weights * (hidden * (1 - hidden))  # of each hidden unit by each input
    value = np.linalg.norm(jacobian) ** 2
    return value, value


def gradient_norm_squared(gradient):
    value = np.linalg.norm(np.ravel(gradient)) ** 2
    return value, value


def gradient_penalty(gradient, *, target):
    norm = np.linalg.norm(np.ravel(gradient))
    return (norm - target) ** 2, (norm + abs(target)) ** 2


def sum_of_squares(*arrays):
    value = sum(np.linalg.norm(np.ravel(array)) ** 2 for array in arrays)
    return value, value


def sum_of_absolutes(*arrays):
    value = sum(np.linalg.norm(np.ravel(array), 1) for array in arrays)
    return value, value


def latent_l2(z):
    value, scale = sum_of_squares(z)
    return value / 2, scale / 2


def orthogonality(weights):
    """By singular values: Σ (σ² − 1)², and one for each column beyond the rank."""
    size = weights.shape[1]
    squares = np.zeros(size)
    values = np.linalg.svd(weights, compute_uv=False)
    squares[: values.size] = values**2
    return np.sum((squares - 1) ** 2), np.sum((squares + 1) ** 2)


def _dip(covariance, lambda_od, lambda_d):
    value = scale = 0.0
    for i, row in enumerate(covariance):
        for j, entry in enumerate(row):
            weight, target = (lambda_d, 1.0) if i == j else (lambda_od, 0.0)
            value += weight * (entry - target) ** 2
            spread = np.sqrt(covariance[i, i] * covariance[j, j])
            scale += weight * (spread + target) ** 2
    return value, scale


def dip_vae_i(mean, *, lambda_od, lambda_d):
    return _dip(np.atleast_2d(np.cov(mean.T, bias=True)), lambda_od, lambda_d)


def dip_vae_ii(mean, log_var, *, lambda_od, lambda_d):
    covariance = np.atleast_2d(np.cov(mean.T, bias=True)) + np.diag(np.exp(log_var).mean(0))
    return _dip(covariance, lambda_od, lambda_d)
