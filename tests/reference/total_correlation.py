"""The β-TCVAE decomposition, sample by sample, as the paper writes it."""

import numpy as np
from scipy.special import logsumexp


def importance_weights(batch_size, num_train, estimator):
    """Row i: the weights of the posteriors in the estimate of q(z_i), own posterior in column i.

    Stratified: f(z, n*, B) = q(z|n*)/N + Σ_{m<M} q(z|n_m)/M + (N − M)/(N M) q(z|n_M), with n_1 to
    n_M the others of the batch, in cyclic order ending with the one that follows n*.
    """
    weights = np.empty((batch_size, batch_size))
    others = batch_size - 1
    for i in range(batch_size):
        for j in range(batch_size):
            if estimator == "weighted":
                weights[i, j] = 1 / (batch_size * num_train)
            elif i == j:
                weights[i, j] = 1 / num_train
            elif estimator == "symmetric":
                weights[i, j] = (1 - 1 / num_train) / others
            elif j == (i + 1) % batch_size:
                weights[i, j] = (num_train - others) / (num_train * others)
            else:
                weights[i, j] = 1 / others
    return weights


def gaussian_log_density(z, mean, log_var, farthest=1e9):
    """Log density and the sum of its absolute summands, elementwise, at bounded deviations."""
    square = np.minimum((z - mean) ** 2 / np.exp(log_var), farthest**2)
    constant = np.log(2 * np.pi)
    return -(square + log_var + constant) / 2, (square + np.abs(log_var) + constant) / 2


def decomposition(z, mean, log_var, *, num_train, estimator):
    """Three rows, one column an example: values, and first-order scales of their rounding."""
    size, dimensions = z.shape
    log_weights = np.log(importance_weights(size, num_train, estimator))
    values, scales = np.empty((3, size)), np.empty((3, size))
    for i in range(size):
        log_q, scale_q = gaussian_log_density(z[i], mean, log_var)  # [posterior, dimension]
        zero = np.zeros(dimensions)
        log_p, scale_p = gaussian_log_density(z[i], zero, zero, farthest=np.inf)

        def log_mixture(logs, scales_of_logs, own=i):
            terms = log_weights[own] + logs
            total = logsumexp(terms)
            return total, np.exp(terms - total) @ (scales_of_logs + np.abs(log_weights[own]))

        joint, scale_joint = log_mixture(log_q.sum(1), scale_q.sum(1))
        marginals = [log_mixture(log_q[:, k], scale_q[:, k]) for k in range(dimensions)]
        product = sum(value for value, _ in marginals)
        scale_product = sum(scale for _, scale in marginals)
        values[:, i] = log_q[i].sum() - joint, joint - product, product - log_p.sum()
        scales[:, i] = (
            scale_q[i].sum() + scale_joint,
            scale_joint + scale_product,
            scale_product + scale_p.sum(),
        )
    return values, scales
