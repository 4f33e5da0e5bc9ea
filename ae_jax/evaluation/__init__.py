"""Evaluation: metrics that every model has, and bounds on log p(x)."""

from ae_jax.evaluation.likelihood import log_likelihood
from ae_jax.evaluation.metrics import evaluation_metrics

__all__ = ["evaluation_metrics", "log_likelihood"]
