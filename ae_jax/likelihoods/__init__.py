"""Likelihoods p(x | z): log-probability, mean, mode, samples and the check of their support."""

from ae_jax.likelihoods.bernoulli import bernoulli
from ae_jax.likelihoods.categorical import categorical
from ae_jax.likelihoods.continuous_bernoulli import continuous_bernoulli
from ae_jax.likelihoods.discretized_logistic_mixture import discretized_logistic_mixture
from ae_jax.likelihoods.gaussian import gaussian
from ae_jax.likelihoods.implicit import implicit
from ae_jax.likelihoods.laplace import laplace
from ae_jax.likelihoods.mixed import mixed
from ae_jax.likelihoods.negative_binomial import negative_binomial
from ae_jax.likelihoods.poisson import poisson
from ae_jax.likelihoods.student_t import student_t
from ae_jax.likelihoods.zero_inflated_negative_binomial import zero_inflated_negative_binomial

__all__ = [
    "bernoulli",
    "categorical",
    "continuous_bernoulli",
    "discretized_logistic_mixture",
    "gaussian",
    "implicit",
    "laplace",
    "mixed",
    "negative_binomial",
    "poisson",
    "student_t",
    "zero_inflated_negative_binomial",
]
