"""Evaluation: what a trained run is good for, in numbers, beside what one would use otherwise."""

from ae_jax.evaluation import anomaly
from ae_jax.evaluation.bits import bits_per_dim
from ae_jax.evaluation.code_metrics import (
    UnitUsage,
    code_metrics,
    fraction_of_variance_unexplained,
    unit_usage,
)
from ae_jax.evaluation.code_use import CodeUse, code_use
from ae_jax.evaluation.comparison import comparison, over_seeds
from ae_jax.evaluation.corrupted import (
    Reconstructed,
    corrupt,
    denoising,
    filled,
    linear_probe,
    psnr,
    reconstructed,
)
from ae_jax.evaluation.denoise import before_and_after, denoise, ssim
from ae_jax.evaluation.disentanglement import (
    dci,
    disentanglement,
    mig,
    modularity,
    mutual_information,
    sap,
)
from ae_jax.evaluation.distances import Moments, frechet_distance, kernel_distance, moments
from ae_jax.evaluation.embedding import (
    continuity,
    explained_variance,
    knn_accuracy,
    probe_accuracy,
    trustworthiness,
)
from ae_jax.evaluation.ensembles import (
    Ensemble,
    EnsembleDetector,
    MixtureBound,
    Opinions,
    ensemble,
)
from ae_jax.evaluation.factor_votes import beta_vae_score, factor_vae_score
from ae_jax.evaluation.features import Classifier, classifier_features
from ae_jax.evaluation.generation import generation, nearest_training
from ae_jax.evaluation.imputation import Imputed, imputation_error, impute
from ae_jax.evaluation.likelihood import has_bound, log_likelihood
from ae_jax.evaluation.metrics import evaluation_metrics
from ae_jax.evaluation.missing import missing_entries
from ae_jax.evaluation.modes import mode_coverage
from ae_jax.evaluation.neighbours import density_coverage, nearest_neighbours, precision_recall
from ae_jax.evaluation.noisy_probes import noisy_probes
from ae_jax.evaluation.rates import (
    Bound,
    Rates,
    likelihood_bound,
    rate_distortion,
)
from ae_jax.evaluation.reduction import plane, reduction
from ae_jax.evaluation.scarce_labels import scarce_labels
from ae_jax.evaluation.smoothness import path_length
from ae_jax.evaluation.usage import Usage, latent_usage
from ae_jax.evaluation.written import write_codes, write_examples

__all__ = [
    "Bound",
    "Classifier",
    "CodeUse",
    "Ensemble",
    "EnsembleDetector",
    "Imputed",
    "MixtureBound",
    "Moments",
    "Opinions",
    "Rates",
    "Reconstructed",
    "UnitUsage",
    "Usage",
    "anomaly",
    "before_and_after",
    "beta_vae_score",
    "bits_per_dim",
    "classifier_features",
    "code_metrics",
    "code_use",
    "comparison",
    "continuity",
    "corrupt",
    "dci",
    "denoise",
    "denoising",
    "density_coverage",
    "disentanglement",
    "ensemble",
    "evaluation_metrics",
    "explained_variance",
    "factor_vae_score",
    "filled",
    "fraction_of_variance_unexplained",
    "frechet_distance",
    "generation",
    "has_bound",
    "imputation_error",
    "impute",
    "kernel_distance",
    "knn_accuracy",
    "latent_usage",
    "likelihood_bound",
    "linear_probe",
    "log_likelihood",
    "mig",
    "missing_entries",
    "mode_coverage",
    "modularity",
    "moments",
    "mutual_information",
    "nearest_neighbours",
    "nearest_training",
    "noisy_probes",
    "over_seeds",
    "path_length",
    "plane",
    "precision_recall",
    "probe_accuracy",
    "psnr",
    "rate_distortion",
    "reconstructed",
    "reduction",
    "sap",
    "scarce_labels",
    "ssim",
    "trustworthiness",
    "unit_usage",
    "write_codes",
    "write_examples",
]
