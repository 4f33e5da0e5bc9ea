"""Nearest rows of a large codebook and sums by its numbers, in the forms that XLA:CPU is fast at.

Elsewhere, and for small codebooks, they are the plain ones: one matrix of all distances and a
product with one-hot rows, whose order of summation is the same in every run on a GPU.
"""

import jax
import jax.numpy as jnp
from jax import Array

BLOCK = 1_024  # codes whose distances stay in a core's cache, and up to which the plain form stands


def nearest(vectors: Array, codebook: Array) -> Array:
    """The number of the nearest code of each vector, int32 `[*positions]`; the lower one of ties.

    Args:
      vectors: `[*positions, d]`, floating.
      codebook: `[codes, d]`.
    """
    if len(codebook) <= BLOCK:
        return _at_once(vectors, codebook)
    return jax.lax.platform_dependent(vectors, codebook, cpu=_by_blocks, default=_at_once)


def sums_by_number(rows: Array, numbers: Array, size: int) -> Array:
    """The sum of the rows of each number, `[size]` or `[size, c]`.

    Args:
      rows: `[n]` or `[n, c]`, float32.
      numbers: `[n]`, each below `size`.
      size: how many there are.
    """
    scattered = lambda rows, numbers: jax.ops.segment_sum(rows, numbers, size)
    if size <= BLOCK:
        return _one_hot(rows, numbers, size)
    default = lambda rows, numbers: _one_hot(rows, numbers, size)
    return jax.lax.platform_dependent(rows, numbers, cpu=scattered, default=default)


def _scores(vectors: Array, codes: Array, lengths: Array) -> Array:
    """Squared distances but for the vectors' own lengths, `[*positions, codes]`."""
    # Matrix products in place of differences [*positions, codes, d]; the default precision of
    # accelerators would mistake near codes for one another.
    products = jnp.matmul(vectors, codes.T, precision="highest")
    return lengths.reshape((1,) * (products.ndim - 1) + (-1,)) - 2 * products


def _at_once(vectors: Array, codebook: Array) -> Array:
    lengths = jnp.sum(jnp.square(codebook), axis=1)
    return jnp.argmin(_scores(vectors, codebook, lengths), axis=-1).astype(jnp.int32)


def _by_blocks(vectors: Array, codebook: Array) -> Array:
    """The same, one block of codes after the other: argmin is scalar on CPU, 4 times as slow."""
    short = -len(codebook) % BLOCK
    lengths = jnp.sum(jnp.square(codebook), axis=1)
    lengths = jnp.pad(lengths, (0, short), constant_values=jnp.inf).reshape(-1, BLOCK)
    blocks = jnp.pad(codebook, ((0, short), (0, 0))).reshape(-1, BLOCK, codebook.shape[1])
    places = jnp.arange(BLOCK, dtype=jnp.int32)

    def closer(best, block):
        least, number = best
        first, codes, lengths = block
        scores = _scores(vectors, codes, lengths)
        own = jnp.min(scores, axis=-1)
        behind = scores > own[..., None]  # false for NaN: the number stays one of the block's
        place = jnp.min(jnp.where(behind, BLOCK, places), axis=-1)
        better = own < least
        return (jnp.where(better, own, least), jnp.where(better, first + place, number)), None

    positions = vectors.shape[:-1]
    start = jnp.full(positions, jnp.inf, vectors.dtype), jnp.zeros(positions, jnp.int32)
    firsts = BLOCK * jnp.arange(len(blocks), dtype=jnp.int32)
    (_, number), _ = jax.lax.scan(closer, start, (firsts, blocks, lengths))
    return number


def _one_hot(rows: Array, numbers: Array, size: int) -> Array:
    given = jax.nn.one_hot(numbers, size, dtype=rows.dtype)
    return jnp.matmul(given.T, rows, precision="highest")
