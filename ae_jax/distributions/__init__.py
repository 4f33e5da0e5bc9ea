"""Posteriors, priors and codes as pytrees over one event; log-probabilities in nats."""

from ae_jax.distributions._kl import kl_divergence
from ae_jax.distributions.codes import Quantized, SparseCode, UniformCodes
from ae_jax.distributions.conditional import Conditional, conditioned
from ae_jax.distributions.full_gaussian import FullGaussian
from ae_jax.distributions.gaussian import DiagonalGaussian, standard_normal
from ae_jax.distributions.hierarchy import Hierarchy
from ae_jax.distributions.laplace import Laplace
from ae_jax.distributions.low_rank_gaussian import LowRankGaussian
from ae_jax.distributions.mixture import Mixture
from ae_jax.distributions.point import PointMass
from ae_jax.distributions.power_spherical import PowerSpherical, UniformSphere
from ae_jax.distributions.student_t import StudentT
from ae_jax.distributions.transformed import Transformed
from ae_jax.distributions.wrapped_normal import WrappedNormal

__all__ = [
    "Conditional",
    "DiagonalGaussian",
    "FullGaussian",
    "Hierarchy",
    "Laplace",
    "LowRankGaussian",
    "Mixture",
    "PointMass",
    "PowerSpherical",
    "Quantized",
    "SparseCode",
    "StudentT",
    "Transformed",
    "UniformCodes",
    "UniformSphere",
    "WrappedNormal",
    "conditioned",
    "kl_divergence",
    "standard_normal",
]
