"""Transformer blocks of one sequence, their parameters stacked, with a cache for generation."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError
from ae_jax.networks._dense import Dense
from ae_jax.networks.common import Common
from ae_jax.ops.attention import attend
from ae_jax.ops.dense import add_shared
from ae_jax.types import Array

EXPANSION = 4
SHALLOW = 12
POSITION_SCALE = 0.02  # of learned positions at the start, as in BERT and ViT
Cache = tuple[Array, Array]
# Its gradient starts from its input: what it would keep is as large as all else of a block.
_gelu_from_input = jax.checkpoint(nn.gelu)


def require_heads(width: int, heads: int) -> None:
    """Raises ConfigError unless the heads share the width evenly."""
    require_positive_ints(width=width, heads=heads)
    if width % heads:
        raise ConfigError(f"width must be a multiple of heads={heads}, got {width}")


def require_depth(depth: int) -> None:
    """Raises ConfigError unless it is a number of blocks, which may be none."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        raise ConfigError(f"depth must be 0 or a positive whole number, got {depth!r}")


def with_positions(module: nn.Module, x: Array, number: int, at: Array | None = None) -> Array:
    """The sum of x `[n, c]` and learned `positions`, a parameter of the module; `at`: of these."""
    init = nn.initializers.normal(POSITION_SCALE)
    positions = module.param("positions", init, (number, x.shape[-1])).astype(x.dtype)
    return add_shared(x, positions) if at is None else x + positions[at]


class Attention(nn.Module):
    """Self-attention; with a cache, one new position looks back at those before it."""

    heads: int
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: Array,
        mask: Array | None = None,
        cache: Cache | None = None,
        index: Array | None = None,
    ) -> tuple[Array, Cache | None]:
        """`[n, c]` to `[n, c]`, and the cache, `[t, h, d]` twice, with x's entry at `index`."""
        width = x.shape[-1]
        joined = Dense(3 * width, dtype=self.dtype, name="qkv")(x)
        query, key, value = (
            part.reshape(-1, self.heads, width // self.heads)
            for part in jnp.split(joined, 3, axis=-1)
        )
        if cache is not None and index is not None:
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), index, 0)
                for old, new in zip(cache, (key, value), strict=True)
            )
            cache = (key, value)
        y = attend(query, key, value, mask).reshape(-1, width)
        return Dense(width, dtype=self.dtype, name="out")(y), cache


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), as in GPT-2 and ViT."""

    heads: int
    common: Common = Common()
    train: bool = False

    @nn.compact
    def __call__(
        self, x: Array, cache: Cache | None, mask: Array | None, index: Array | None
    ) -> tuple[Array, Cache | None]:
        """`[n, c]` to `[n, c]`, and the cache."""
        dtype = self.common.dtype
        drop = nn.Dropout(self.common.dropout, deterministic=not self.train)
        h = nn.LayerNorm(dtype=dtype, name="norm_0")(x)
        h, cache = Attention(self.heads, dtype, name="attention")(h, mask, cache, index)
        x = x + drop(h)
        h = nn.LayerNorm(dtype=dtype, name="norm_1")(x)
        gelu = nn.gelu if self.common.remat else _gelu_from_input
        h = gelu(Dense(EXPANSION * x.shape[-1], dtype=dtype, name="expand")(h))
        return x + drop(Dense(x.shape[-1], dtype=dtype, name="contract")(h)), cache


class Stack(nn.Module):
    """Blocks, if any, and a last normalisation.

    Up to `SHALLOW` blocks are compiled one by one; of more, one is, whatever the depth. In a loop
    over blocks XLA copies what each keeps for its gradient: a fifth of the time of a step on CPU,
    and more memory on GPU.
    """

    depth: int
    heads: int
    common: Common = Common()

    @nn.compact
    def __call__(
        self,
        x: Array,
        mask: Array | None = None,
        *,
        train: bool = False,
        cache: Cache | None = None,
        index: Array | None = None,
    ) -> tuple[Array, Cache | None]:
        """`[n, c]` to `[n, c]`, and the caches of all blocks, `[depth, t, h, d]` twice."""
        dtype = self.common.dtype
        x = x if dtype is None else x.astype(dtype)
        if self.depth:
            x, cache = self._blocks(train)(x, cache, mask, index)
        return nn.LayerNorm(dtype=dtype, name="norm")(x), cache

    def _blocks(self, train: bool) -> nn.Module:
        # Outside a loop XLA would merge what remat computes again with what it saved.
        remat = self.common.remat
        one_by_one = self.depth <= SHALLOW and not remat
        blocks = nn.scan(
            nn.remat(Block, prevent_cse=False) if remat else Block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast),  # pyright: ignore[reportArgumentType]
            length=self.depth,
            unroll=self.depth if one_by_one else 1,
        )
        return blocks(self.heads, self.common, train, name="blocks")

    def empty_cache(self, length: int, width: int) -> Cache:
        """Zeros for `length` positions."""
        shape = (self.depth, length, self.heads, width // self.heads)
        zeros = jnp.zeros(shape, self.common.dtype or jnp.float32)
        return zeros, zeros
