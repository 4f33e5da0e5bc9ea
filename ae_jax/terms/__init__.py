"""Losses bound to a model's `Outputs`: the terms that objectives are made of.

Each is a factory of an `Objective` of one term: `ae.terms.reconstruction() + 4.0 * ae.terms.kl()`.
"""

from ae_jax.terms.bounds import ciwae, iwae, miwae
from ae_jax.terms.combinators import detached, where
from ae_jax.terms.divergence import (
    capacity,
    dimension_wise_kl,
    dip_i,
    dip_ii,
    free_bits,
    kl,
    mmd,
    monte_carlo_kl,
    mutual_information,
    total_correlation,
)
from ae_jax.terms.quantization import codebook, commitment
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
    "capacity",
    "ciwae",
    "codebook",
    "commitment",
    "contractive",
    "cosine",
    "dead_units",
    "decoder_gradient",
    "detached",
    "dimension_wise_kl",
    "dip_i",
    "dip_ii",
    "free_bits",
    "huber",
    "iwae",
    "kl",
    "l0",
    "l1",
    "latent_l2",
    "masked_reconstruction",
    "miwae",
    "mmd",
    "monte_carlo_kl",
    "ms_ssim",
    "mutual_information",
    "orthogonality",
    "population_sparsity",
    "reconstruction",
    "sparsity",
    "squared_error",
    "ssim",
    "total_correlation",
    "weight_l1",
    "weight_l2",
    "where",
]
