"""Bottlenecks: from the encoder's features to a latent z, and the prior that z is held against."""

from ae_jax.bottlenecks.gaussian import gaussian
from ae_jax.bottlenecks.identity import identity
from ae_jax.bottlenecks.sparse import sparse
from ae_jax.bottlenecks.topk import topk
from ae_jax.bottlenecks.vector_quantized import vector_quantized

__all__ = ["gaussian", "identity", "sparse", "topk", "vector_quantized"]
