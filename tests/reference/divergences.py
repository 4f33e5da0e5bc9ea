"""Divergences in NumPy and SciPy; each returns the value and the sum of its absolute summands."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import gammaln, ive, log_softmax, logsumexp


def _summed(*summands):
    parts = [np.ravel(summand) for summand in summands]
    return float(sum(part.sum() for part in parts)), float(sum(np.abs(p).sum() for p in parts))


def kl_standard_normal(mean, log_var):
    return kl_diagonal_gaussians(mean, log_var, np.zeros_like(mean), np.zeros_like(mean))


def kl_diagonal_gaussians(mean_q, log_var_q, mean_p, log_var_p):
    ones = np.ones_like(mean_q)
    return _summed(
        -0.5 * ones,
        0.5 * log_var_p,
        -0.5 * log_var_q,
        0.5 * np.exp(log_var_q - log_var_p),
        0.5 * (mean_q - mean_p) ** 2 * np.exp(-log_var_p),
    )


def kl_gaussians(mean_q, scale_q, mean_p, scale_p):
    factor_q, factor_p = np.tril(scale_q), np.tril(scale_p)
    whitened = solve_triangular(factor_p, factor_q, lower=True)
    difference = solve_triangular(factor_p, mean_q - mean_p, lower=True)
    return _summed(
        -0.5 * len(mean_q),
        np.log(np.diagonal(factor_p)),
        -np.log(np.diagonal(factor_q)),
        0.5 * np.trace(whitened @ whitened.T),
        0.5 * difference @ difference,
    )


def monte_carlo_kl(log_q, log_p):
    return _summed(log_q / len(log_q), -log_p / len(log_p))


def bessel_ratio(kappa, dimension):
    """I_{m/2} / I_{m/2−1}, where both are normal numbers when scaled by exp(−κ)."""
    return ive(dimension / 2, kappa) / ive(dimension / 2 - 1, kappa)


def kl_von_mises_fisher_uniform(kappa, dimension):
    """From SciPy's Bessel functions where they do not underflow, else from their power series."""
    summands = [0.0]
    for k in np.ravel(kappa):
        if k == 0:
            continue
        order = dimension / 2 - 1
        scaled, above = ive(order, k), ive(order + 1, k)
        if min(scaled, above) > 1e-290:
            resultant = above / scaled
            parts = [gammaln(order + 1), order * np.log(2 / k), np.log(scaled), k]
        else:
            terms = np.arange(20 + 5 * int(k + k**2 / dimension))
            powers = 2 * terms * np.log(k / 2) - gammaln(terms + 1)
            series = logsumexp(powers - gammaln(terms + order + 1))
            resultant = np.exp(
                np.log(k / 2) + logsumexp(powers - gammaln(terms + order + 2)) - series
            )
            parts = [gammaln(order + 1), series]
        summands += [k * resultant, *(-part for part in parts)]
    return _summed(np.array(summands))


def kl_categorical_uniform(logits):
    log_q = log_softmax(logits, axis=-1)
    q = np.exp(log_q)
    return _summed(q * log_q, q * np.log(logits.shape[-1]))


def free_bits(kl_per_dimension, threshold):
    return _summed(np.where(kl_per_dimension > threshold, kl_per_dimension, threshold))


def capacity(kl, target, gamma):
    value = gamma * abs(float(kl) - float(target))
    return value, gamma * float(abs(kl) + abs(target))
