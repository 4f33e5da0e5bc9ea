"""Raw mathematics: pure functions of arrays, for one example unless they say "Batch-coupled".

Results have dtype `promote_types(dtype, float32)`; losses are nats, summed over event and latent
dimensions. Nothing here knows of models, terms or axis names.
"""

from ae_jax.losses.adversarial import (
    hinge_discriminator,
    hinge_generator,
    interpolate,
    least_squares_discriminator,
    least_squares_generator,
    non_saturating_discriminator,
    non_saturating_generator,
    wasserstein_critic,
    wasserstein_generator,
)
from ae_jax.losses.binary_codes import (
    bit_entropy,
    code_probabilities,
    mean_code_probabilities,
    usage_deficit,
)
from ae_jax.losses.bounds import (
    ciwae,
    doubly_reparameterized_bound,
    elbo,
    elbo_from_kl,
    importance_weighted_bound,
    log_importance_weights,
    miwae,
    normalized_importance_weights,
    scale_gradient,
)
from ae_jax.losses.categorical import categorical_nll
from ae_jax.losses.continuous_bernoulli import (
    continuous_bernoulli_mean,
    continuous_bernoulli_nll,
    continuous_bernoulli_quantile,
)
from ae_jax.losses.counts import (
    negative_binomial_nll,
    poisson_nll,
    zero_inflated_negative_binomial,
)
from ae_jax.losses.covariance import dip_vae_i, dip_vae_ii
from ae_jax.losses.density_ratio import (
    density_ratio_discriminator,
    density_ratio_total_correlation,
    permute_dimensions,
)
from ae_jax.losses.discrepancy import mmd
from ae_jax.losses.divergences import (
    capacity,
    free_bits,
    kl_categorical_uniform,
    kl_diagonal_gaussians,
    kl_gaussians,
    kl_standard_normal,
    kl_von_mises_fisher_uniform,
    monte_carlo_kl,
)
from ae_jax.losses.gaussian import bounded_log_var, gaussian_nll
from ae_jax.losses.hamiltonian import cooling_schedule, hamiltonian_bound, tempered_leapfrog
from ae_jax.losses.laplace import kl_laplace_gaussian, kl_laplaces, laplace_nll
from ae_jax.losses.logistic_mixture import bits_per_dim, discretized_logistic_mixture_nll
from ae_jax.losses.power_spherical import (
    kl_power_spherical_uniform,
    log_sphere_area,
    power_spherical_nll,
)
from ae_jax.losses.quantization import (
    codebook,
    commitment,
    nearest_codes,
    rotate_through,
    straight_through,
)
from ae_jax.losses.reconstruction import (
    absolute_error,
    binary_cross_entropy,
    cosine_distance,
    huber,
    squared_error,
)
from ae_jax.losses.relativistic import (
    lecam,
    relativistic_discriminator,
    relativistic_generator,
)
from ae_jax.losses.sparsity import (
    dead_unit_auxiliary,
    l0_surrogate,
    l1,
    sparsity_kl,
    top_k,
    top_k_of_dead,
)
from ae_jax.losses.structural import ms_ssim, ms_ssim_loss, ssim, ssim_loss
from ae_jax.losses.structure import (
    contractive_sigmoid,
    gradient_norm_squared,
    gradient_penalty,
    hutchinson_jacobian_norm,
    latent_l2,
    orthogonality,
    parameter_l1,
    parameter_l2,
)
from ae_jax.losses.student_t import student_t_nll
from ae_jax.losses.total_correlation import (
    KLParts,
    gaussian_kl_decomposition,
    kl_decomposition,
    pairwise_gaussian_log_prob,
)

__all__ = [
    "KLParts",
    "absolute_error",
    "binary_cross_entropy",
    "bit_entropy",
    "bits_per_dim",
    "bounded_log_var",
    "capacity",
    "categorical_nll",
    "ciwae",
    "code_probabilities",
    "codebook",
    "commitment",
    "continuous_bernoulli_mean",
    "continuous_bernoulli_nll",
    "continuous_bernoulli_quantile",
    "contractive_sigmoid",
    "cooling_schedule",
    "cosine_distance",
    "dead_unit_auxiliary",
    "density_ratio_discriminator",
    "density_ratio_total_correlation",
    "dip_vae_i",
    "dip_vae_ii",
    "discretized_logistic_mixture_nll",
    "doubly_reparameterized_bound",
    "elbo",
    "elbo_from_kl",
    "free_bits",
    "gaussian_kl_decomposition",
    "gaussian_nll",
    "gradient_norm_squared",
    "gradient_penalty",
    "hamiltonian_bound",
    "hinge_discriminator",
    "hinge_generator",
    "huber",
    "hutchinson_jacobian_norm",
    "importance_weighted_bound",
    "interpolate",
    "kl_categorical_uniform",
    "kl_decomposition",
    "kl_diagonal_gaussians",
    "kl_gaussians",
    "kl_laplace_gaussian",
    "kl_laplaces",
    "kl_power_spherical_uniform",
    "kl_standard_normal",
    "kl_von_mises_fisher_uniform",
    "l0_surrogate",
    "l1",
    "laplace_nll",
    "latent_l2",
    "least_squares_discriminator",
    "least_squares_generator",
    "lecam",
    "log_importance_weights",
    "log_sphere_area",
    "mean_code_probabilities",
    "miwae",
    "mmd",
    "monte_carlo_kl",
    "ms_ssim",
    "ms_ssim_loss",
    "nearest_codes",
    "negative_binomial_nll",
    "non_saturating_discriminator",
    "non_saturating_generator",
    "normalized_importance_weights",
    "orthogonality",
    "pairwise_gaussian_log_prob",
    "parameter_l1",
    "parameter_l2",
    "permute_dimensions",
    "poisson_nll",
    "power_spherical_nll",
    "relativistic_discriminator",
    "relativistic_generator",
    "rotate_through",
    "scale_gradient",
    "sparsity_kl",
    "squared_error",
    "ssim",
    "ssim_loss",
    "straight_through",
    "student_t_nll",
    "tempered_leapfrog",
    "top_k",
    "top_k_of_dead",
    "usage_deficit",
    "wasserstein_critic",
    "wasserstein_generator",
    "zero_inflated_negative_binomial",
]
