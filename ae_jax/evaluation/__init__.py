"""Evaluation: metrics that every model has, bounds on log p(x), and the use of the latents."""

from ae_jax.evaluation.likelihood import log_likelihood
from ae_jax.evaluation.metrics import evaluation_metrics
from ae_jax.evaluation.usage import Usage, latent_usage

__all__ = ["Usage", "evaluation_metrics", "latent_usage", "log_likelihood"]
