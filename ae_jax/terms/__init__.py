"""Losses bound to a model's `Outputs`: the terms that objectives are made of.

Each is a factory of an `Objective` of one term: `ae.terms.reconstruction() + 4.0 * ae.terms.kl()`.
"""

from ae_jax.terms.adversarial import (
    critic_accuracy,
    discriminator,
    generator,
    lecam,
    spread,
)
from ae_jax.terms.aggregate import (
    dimension_wise_kl,
    dip_i,
    dip_ii,
    mmd,
    mutual_information,
    total_correlation,
)
from ae_jax.terms.balance import balanced
from ae_jax.terms.bounds import ciwae, iwae, miwae
from ae_jax.terms.combinators import detached, where
from ae_jax.terms.density_ratio import density_ratio, density_ratio_discriminator
from ae_jax.terms.divergence import capacity, free_bits, kl, monte_carlo_kl
from ae_jax.terms.feature_prediction import feature_prediction
from ae_jax.terms.hamiltonian import hamiltonian
from ae_jax.terms.penalties import gradient_penalty, r1, r2
from ae_jax.terms.perceptual import feature_matching, learned_similarity, perceptual
from ae_jax.terms.quantization import code_entropy, code_usage, codebook, commitment
from ae_jax.terms.reconstruction import (
    absolute_error,
    cosine,
    huber,
    masked_reconstruction,
    ms_ssim,
    reconstruction,
    squared_error,
    ssim,
)
from ae_jax.terms.sparsity import dead_units, l0, l1, population_sparsity, sparsity
from ae_jax.terms.structure import (
    contractive,
    decoder_gradient,
    latent_l2,
    orthogonality,
    weight_l1,
    weight_l2,
)

__all__ = [
    "absolute_error",
    "balanced",
    "capacity",
    "ciwae",
    "code_entropy",
    "code_usage",
    "codebook",
    "commitment",
    "contractive",
    "cosine",
    "critic_accuracy",
    "dead_units",
    "decoder_gradient",
    "density_ratio",
    "density_ratio_discriminator",
    "detached",
    "dimension_wise_kl",
    "dip_i",
    "dip_ii",
    "discriminator",
    "feature_matching",
    "feature_prediction",
    "free_bits",
    "generator",
    "gradient_penalty",
    "hamiltonian",
    "huber",
    "iwae",
    "kl",
    "l0",
    "l1",
    "latent_l2",
    "learned_similarity",
    "lecam",
    "masked_reconstruction",
    "miwae",
    "mmd",
    "monte_carlo_kl",
    "ms_ssim",
    "mutual_information",
    "orthogonality",
    "perceptual",
    "population_sparsity",
    "r1",
    "r2",
    "reconstruction",
    "sparsity",
    "spread",
    "squared_error",
    "ssim",
    "total_correlation",
    "weight_l1",
    "weight_l2",
    "where",
]
