"""Attention in float32 sums, and cuDNN's fused kernels where they can be had."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array

from ae_jax.ops import kernels


def attend(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """softmax(Q Kᵀ / √d) V of every head (Vaswani et al. 2017), summed in float32.

    Scores and weights, the largest arrays of a block, are kept in the operands' dtype: on a TPU
    their way to memory and back binds, not arithmetic. The weights are normalised after the
    product, which is smaller, by the sum of what was rounded, so that they add up to one. On GPUs
    cuDNN's fused kernels (Dao et al. 2022) keep none of them where they can: in half precision,
    outside `ae_jax.ops.kernels.without_kernels`, which second derivatives need.

    Args:
      query: `[n, h, d]`.
      key: `[m, h, d]`.
      value: `[m, h, d]`.
      mask: bool, broadcast to `[n, m]`: True where a query may look. One that may look nowhere sees
        the mean of all values.

    Returns:
      `[n, h, d]`.
    """
    if mask is None and _fused(query, key):
        return _attend_fused(query, key, value)
    precise = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("nhd,mhd->hnm", query, key).astype(precise) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(precise).min)
    largest = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True))
    weights = jnp.exp(scores - largest).astype(value.dtype)
    total = jnp.sum(weights, axis=-1, dtype=precise)
    y = jnp.einsum("hnm,mhd->nhd", weights, value, preferred_element_type=precise)
    return (y / total.T[..., None]).astype(value.dtype)


def _fused(query: Array, key: Array) -> bool:
    """Whether cuDNN has kernels for self-attention of these."""
    half, size = query.dtype in (jnp.bfloat16, jnp.float16), query.shape[-1]
    fits = half and len(query) == len(key) and size % 8 == 0 and size <= 128
    return fits and kernels.attention_allowed()


def _attend_fused(query: Array, key: Array, value: Array) -> Array:
    """`attend` by cuDNN, which takes even numbers of positions: a last one is never looked at."""
    n, fused = len(query), functools.partial(jax.nn.dot_product_attention, implementation="cudnn")
    if n % 2 == 0:
        return fused(query[None], key[None], value[None])[0]
    padded = (jnp.pad(x, ((0, 1), (0, 0), (0, 0)))[None] for x in (query, key, value))
    first = query[:1, 0, 0]
    number = jnp.where(first == first, n, n).astype(jnp.int32)  # under vmap one for each example
    return fused(*padded, query_seq_lengths=number, key_value_seq_lengths=number)[0, :n]
