"""Posteriors, priors and codes as pytrees over one event; log-probabilities in nats."""

from ae_jax.distributions._kl import kl_divergence
from ae_jax.distributions.codes import Quantized, SparseCode, UniformCodes
from ae_jax.distributions.gaussian import DiagonalGaussian, standard_normal
from ae_jax.distributions.point import PointMass

__all__ = [
    "DiagonalGaussian",
    "PointMass",
    "Quantized",
    "SparseCode",
    "UniformCodes",
    "kl_divergence",
    "standard_normal",
]
