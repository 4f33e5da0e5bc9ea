"""The table of named autoencoders: each is a row of parts and an objective, and nothing more.

Every function takes `**parts`: encoder, decoder, likelihood, corruption, as parts, names or config
nodes; those left out are chosen from the data. All return a `Recipe`.
"""

from ae_jax.recipes.adversarial import (
    adversarial_autoencoder,
    bigan,
    dcgan,
    factor_vae,
    gan,
    vae_gan,
    vq_gan,
    wae_gan,
    wgan_gp,
)
from ae_jax.recipes.hierarchical import ladder_vae, vdvae
from ae_jax.recipes.latent_laws import (
    flow_prior_vae,
    gaussian_mixture_vae,
    hamiltonian_vae,
    hyperspherical_vae,
    iaf_vae,
    poincare_vae,
    vamp_vae,
)
from ae_jax.recipes.plain import (
    autoencoder,
    contractive,
    denoising,
    masked_autoencoder,
    rae_gp,
    rae_l2,
    wae_mmd,
)
from ae_jax.recipes.predictive import i_jepa
from ae_jax.recipes.quantized import (
    bsq_vae,
    dvae,
    fsq_vae,
    ibq_vae,
    lfq_vae,
    residual_vq_vae,
    rotation_vq_vae,
    sim_vq_vae,
    vq_vae,
)
from ae_jax.recipes.recipe import Recipe
from ae_jax.recipes.sparse import sparse, topk
from ae_jax.recipes.staged import aggressive_vae, cyclical_vae, two_stage_vae
from ae_jax.recipes.variational import (
    annealed_vae,
    beta_tcvae,
    beta_vae,
    capacity_vae,
    ciwae,
    dip_vae_i,
    dip_vae_ii,
    info_vae,
    iwae,
    miwae,
    ms_ssim_vae,
    vae,
)

__all__ = [
    "Recipe",
    "adversarial_autoencoder",
    "aggressive_vae",
    "annealed_vae",
    "autoencoder",
    "beta_tcvae",
    "beta_vae",
    "bigan",
    "bsq_vae",
    "capacity_vae",
    "ciwae",
    "contractive",
    "cyclical_vae",
    "dcgan",
    "denoising",
    "dip_vae_i",
    "dip_vae_ii",
    "dvae",
    "factor_vae",
    "flow_prior_vae",
    "fsq_vae",
    "gan",
    "gaussian_mixture_vae",
    "hamiltonian_vae",
    "hyperspherical_vae",
    "i_jepa",
    "iaf_vae",
    "ibq_vae",
    "info_vae",
    "iwae",
    "ladder_vae",
    "lfq_vae",
    "masked_autoencoder",
    "miwae",
    "ms_ssim_vae",
    "poincare_vae",
    "rae_gp",
    "rae_l2",
    "residual_vq_vae",
    "rotation_vq_vae",
    "sim_vq_vae",
    "sparse",
    "topk",
    "two_stage_vae",
    "vae",
    "vae_gan",
    "vamp_vae",
    "vdvae",
    "vq_gan",
    "vq_vae",
    "wae_gan",
    "wae_mmd",
    "wgan_gp",
]
