"""Bounds in NumPy, and a linear Gaussian model whose likelihood and posterior are known exactly.

Each bound returns its value and the sum of its absolute summands.
"""

import dataclasses

import numpy as np
from scipy import stats


def _mean(values):
    return float(np.mean(values)), float(np.mean(np.abs(values)))


def log_importance_weights(log_px, log_pz, log_qz):
    """The sum, as the properties want a scalar."""
    summands = [log_px, log_pz, -log_qz]
    return float(np.sum(summands)), float(np.sum(np.abs(summands)))


def elbo(log_weights):
    return _mean(log_weights)


def elbo_from_kl(log_px, kl):
    value, magnitude = _mean(log_px)
    return value - float(kl), magnitude + abs(float(kl))


def importance_weighted_bound(log_weights):
    largest = log_weights.max()
    value = largest + np.log(np.mean(np.exp(log_weights - largest)))
    return float(value), float(abs(largest) + abs(value - largest) + np.log(len(log_weights)))


def miwae(log_weights):
    rows = [importance_weighted_bound(row) for row in log_weights]
    return tuple(float(np.mean(column)) for column in zip(*rows, strict=True))


def ciwae(log_weights, beta):
    single, importance = elbo(log_weights), importance_weighted_bound(log_weights)
    return tuple(beta * a + (1 - beta) * b for a, b in zip(single, importance, strict=True))


@dataclasses.dataclass(frozen=True)
class LinearGaussian:
    """z ~ N(0, I), x | z ~ N(W z, σ² I); q(z | x) = N(m, diag s²) for one x."""

    weights: np.ndarray
    noise: float
    x: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @property
    def log_likelihood(self):
        covariance = self.weights @ self.weights.T + self.noise**2 * np.eye(len(self.x))
        return float(stats.multivariate_normal.logpdf(self.x, np.zeros(len(self.x)), covariance))

    @property
    def posterior(self):
        """Mean and covariance of the exact posterior."""
        precision = np.eye(len(self.mean)) + self.weights.T @ self.weights / self.noise**2
        covariance = np.linalg.inv(precision)
        return covariance @ self.weights.T @ self.x / self.noise**2, covariance

    @property
    def elbo(self):
        """log p(x) − KL(q ‖ posterior), a different route from the usual one."""
        mean, covariance = self.posterior
        precision, difference = np.linalg.inv(covariance), self.mean - mean
        divergence = 0.5 * (
            np.trace(precision * self.scale**2)
            + difference @ precision @ difference
            - len(mean)
            + np.linalg.slogdet(covariance)[1]
            - 2 * np.log(self.scale).sum()
        )
        return self.log_likelihood - float(divergence)

    def parts(self, z):
        """log p(x | z), log p(z) and log q(z | x) of samples [..., d]."""
        log_px = stats.norm.logpdf(self.x, z @ self.weights.T, self.noise).sum(-1)
        log_qz = stats.norm.logpdf(z, self.mean, self.scale).sum(-1)
        return log_px, stats.norm.logpdf(z).sum(-1), log_qz

    def doubly_reparameterized_gradient(self, noise):
        """With respect to m and log s, from samples m + s ε, by the formula of the paper."""
        z = self.mean + self.scale * noise
        log_px, log_pz, log_qz = self.parts(z)
        log_weights = log_px + log_pz - log_qz
        normalized = np.exp(log_weights - log_weights.max())
        normalized /= normalized.sum()
        # ∂ log w / ∂z with the parameters of q held constant.
        path = (
            (self.x - z @ self.weights.T) @ self.weights / self.noise**2
            - z
            + (z - self.mean) / self.scale**2
        )
        squared = normalized[:, None] ** 2 * path
        return squared.sum(0), (squared * self.scale * noise).sum(0)
