"""Evaluation: metrics and bounds, use of the latents, denoising and linear probes."""

from ae_jax.evaluation.corrupted import (
    Reconstructed,
    corrupt,
    denoising,
    filled,
    linear_probe,
    psnr,
    reconstructed,
)
from ae_jax.evaluation.likelihood import log_likelihood
from ae_jax.evaluation.metrics import evaluation_metrics
from ae_jax.evaluation.usage import Usage, latent_usage

__all__ = [
    "Reconstructed",
    "Usage",
    "corrupt",
    "denoising",
    "evaluation_metrics",
    "filled",
    "latent_usage",
    "linear_probe",
    "log_likelihood",
    "psnr",
    "reconstructed",
]
