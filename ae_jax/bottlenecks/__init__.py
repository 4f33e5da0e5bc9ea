"""Bottlenecks: from the encoder's features to a latent z, and the prior that z is held against."""

from ae_jax.bottlenecks.flow import flow
from ae_jax.bottlenecks.full_gaussian import full_gaussian, low_rank_gaussian
from ae_jax.bottlenecks.gaussian import gaussian
from ae_jax.bottlenecks.hyperspherical import hyperspherical
from ae_jax.bottlenecks.identity import identity
from ae_jax.bottlenecks.location_scale import laplace, student_t
from ae_jax.bottlenecks.poincare import poincare
from ae_jax.bottlenecks.sparse import sparse
from ae_jax.bottlenecks.topk import topk
from ae_jax.bottlenecks.vector_quantized import vector_quantized

__all__ = [
    "flow",
    "full_gaussian",
    "gaussian",
    "hyperspherical",
    "identity",
    "laplace",
    "low_rank_gaussian",
    "poincare",
    "sparse",
    "student_t",
    "topk",
    "vector_quantized",
]
