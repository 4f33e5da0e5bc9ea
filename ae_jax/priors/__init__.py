"""Priors p(z), fixed or learned with the model, which fill a bottleneck's `prior`."""

from ae_jax.priors.conditional import conditional
from ae_jax.priors.fixed import (
    laplace,
    standard_normal,
    student_t,
    uniform_sphere,
    wrapped_normal,
)
from ae_jax.priors.flow import flow
from ae_jax.priors.mixture import mixture
from ae_jax.priors.vamp import vamp

__all__ = [
    "conditional",
    "flow",
    "laplace",
    "mixture",
    "standard_normal",
    "student_t",
    "uniform_sphere",
    "vamp",
    "wrapped_normal",
]
