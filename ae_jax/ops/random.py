"""`jax.random`'s draws, bit for bit, in one pass over memory on CPU.

There JAX runs Threefry (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") as a
loop whose every turn passes over memory several times: to save compile time, of which the rounds
written out take no more. On GPU and TPU JAX writes them out as well. For what is drawn in every
step; keys of another generator, and draws of more than 2³² numbers, are JAX's own.
"""

import functools
import math
import numbers
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def _on_fused(draw: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The draw from the same key, written out."""

    @functools.wraps(draw)
    def drawn(key: chex.PRNGKey, *args: Any, **options: Any) -> jax.Array:
        return draw(_as_fused(key), *args, **options)

    return drawn


def fold_in(key: chex.PRNGKey, data: Any) -> chex.PRNGKey:
    """`jax.random.fold_in(key, data)`, a key of the same generator."""
    # A plain number would become int32, which ends before uint32 does.
    return _folded(key, np.uint32(data) if isinstance(data, numbers.Integral) else data)


@functools.partial(jax.jit, inline=True)  # one program where nothing traces it, not one a round
def _folded(key: chex.PRNGKey, data: Any) -> chex.PRNGKey:
    folded = jax.random.fold_in(_as_fused(key), data)
    return jax.random.wrap_key_data(jax.random.key_data(folded), impl=jax.random.key_impl(key))


normal = _on_fused(jax.random.normal)
uniform = _on_fused(jax.random.uniform)
bernoulli = _on_fused(jax.random.bernoulli)


def _as_fused(key: chex.PRNGKey) -> chex.PRNGKey:
    as_here = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    if jax.random.key_impl(key) != "threefry2x32" or not as_here:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=FUSED)


def _threefry(key: jax.Array, high: Any, low: Any) -> tuple[jax.Array, jax.Array]:
    """Twenty rounds on the counts `(high, low)`; a key is uint32 `[2]`."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    a, b = high + schedule[0], low + schedule[1]
    for turn in range(5):
        for bits in ROTATIONS[turn % 2]:
            a = a + b
            b = (b << np.uint32(bits) | b >> np.uint32(32 - bits)) ^ a
        a = a + schedule[(turn + 1) % 3]
        b = b + schedule[(turn + 2) % 3] + np.uint32(turn + 1)
    return a, b


def _counts(shape: tuple[int, ...]) -> jax.Array:
    """0, 1, 2 … in row order; built of its axes, so that it may be split over devices."""
    count = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        stride = np.uint32(math.prod(shape[axis + 1 :]))
        count += stride * jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    return count


def _random_bits(key: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
    dtype = jnp.dtype(f"uint{width}")
    if width > 32 or math.prod(shape) > 2**32:
        return jax.random.bits(jax.random.wrap_key_data(key), shape, dtype)
    a, b = _threefry(key, np.uint32(0), _counts(shape))
    return (a ^ b).astype(dtype)


def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.stack(_threefry(key, np.uint32(0), _counts(shape)), axis=-1)


def _fold_in(key: jax.Array, data: Any) -> jax.Array:
    return jnp.stack(_threefry(key, np.uint32(0), jnp.asarray(data, jnp.uint32)))


FUSED = define_prng_impl(
    key_shape=(2,),
    seed=lambda seed: jax.random.key_data(jax.random.key(seed)),
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_fused",
    tag="fused",
)
