"""Evaluation: metrics that every model has, bounds on log p(x), denoising and linear probes."""

from ae_jax.evaluation.corrupted import corrupt, denoising, linear_probe, psnr
from ae_jax.evaluation.likelihood import log_likelihood
from ae_jax.evaluation.metrics import evaluation_metrics

__all__ = [
    "corrupt",
    "denoising",
    "evaluation_metrics",
    "linear_probe",
    "log_likelihood",
    "psnr",
]
