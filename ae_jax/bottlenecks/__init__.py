"""Bottlenecks: from the encoder's features to a latent z, and the prior that z is held against."""

from ae_jax.bottlenecks.flow import flow
from ae_jax.bottlenecks.fsq import fsq
from ae_jax.bottlenecks.full_gaussian import full_gaussian, low_rank_gaussian
from ae_jax.bottlenecks.gaussian import gaussian
from ae_jax.bottlenecks.grouped import grouped
from ae_jax.bottlenecks.gumbel_softmax import gumbel_softmax
from ae_jax.bottlenecks.hamiltonian import hamiltonian
from ae_jax.bottlenecks.hierarchies import ladder, top_down
from ae_jax.bottlenecks.hyperspherical import hyperspherical
from ae_jax.bottlenecks.ibq import ibq
from ae_jax.bottlenecks.identity import identity
from ae_jax.bottlenecks.lfq import bsq, lfq
from ae_jax.bottlenecks.location_scale import laplace, student_t
from ae_jax.bottlenecks.poincare import poincare
from ae_jax.bottlenecks.residual_quantized import residual_quantized
from ae_jax.bottlenecks.sim_vq import sim_vq
from ae_jax.bottlenecks.sparse import sparse
from ae_jax.bottlenecks.topk import topk
from ae_jax.bottlenecks.vector_quantized import vector_quantized

__all__ = [
    "bsq",
    "flow",
    "fsq",
    "full_gaussian",
    "gaussian",
    "grouped",
    "gumbel_softmax",
    "hamiltonian",
    "hyperspherical",
    "ibq",
    "identity",
    "ladder",
    "laplace",
    "lfq",
    "low_rank_gaussian",
    "poincare",
    "residual_quantized",
    "sim_vq",
    "sparse",
    "student_t",
    "top_down",
    "topk",
    "vector_quantized",
]
