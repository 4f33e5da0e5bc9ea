"""Likelihoods p(x | z): log-probability, mean, mode, samples and the check of their support."""

from ae_jax.likelihoods.bernoulli import bernoulli
from ae_jax.likelihoods.gaussian import gaussian

__all__ = ["bernoulli", "gaussian"]
