"""Transformer encoders and decoders for tokens and series."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.errors import ConfigError, ShapeError, nearest
from ae_jax.networks import _attention, _layers, _sequence
from ae_jax.networks._dense import Dense
from ae_jax.networks.activations import activation_function
from ae_jax.networks.common import Common
from ae_jax.types import ENTRIES, Array, Network, Shape

POOLS = ("flatten", "mean", "none")


class TransformerEncoder(nn.Module):
    """Embeddings and positions through blocks, then one dense layer."""

    output_shape: Shape
    vocabulary: int | None
    width: int
    depth: int
    heads: int
    pool: str
    common: Common

    @nn.compact
    def __call__(
        self,
        x: Array,
        observed: Array | None = None,
        extras: Mapping[str, Array] | None = None,
        train: bool = False,
    ) -> Array:
        """Tokens `[T]` or a series `[T, C]` to `[*output_shape]`."""
        _sequence.check_event(jnp.shape(x), self.vocabulary, "transformer")
        length, per_position = len(x), self.pool == "none"
        if per_position and self.output_shape[:-1] != (length,):
            raise ShapeError(
                f"transformer with pool='none' emits ({length}, d) for x of shape {jnp.shape(x)}, "
                f"but must emit {self.output_shape}"
            )
        x = _sequence.Embedding(self.vocabulary, self.width, self.common.dtype, name="embedding")(
            x, observed
        )
        x = _attention.with_positions(self, x, length)
        valid = _sequence.within_length(extras, length)
        stack = _attention.Stack(self.depth, self.heads, self.common, name="stack")
        x, _ = stack(x, valid, train=train)
        if valid is not None:
            x = jnp.where(valid[:, None], x, 0)
        if self.pool == "mean":
            count = length if valid is None else jnp.maximum(jnp.sum(valid), 1).astype(x.dtype)
            x = jnp.sum(x, axis=0) / count
        self.sow("intermediates", "features", x)
        x = x if per_position else jnp.ravel(x)
        x = self.common.with_condition(x, extras)
        return _layers.emit(x, self.output_shape, self.common.dtype, per_position=per_position)


class _Core(nn.Module):
    """What turns vectors at positions into outputs: all at once, or one after the other."""

    size: int
    vocabulary: int | None
    width: int
    depth: int
    heads: int
    autoregressive: bool
    per_entry: int
    feedback: Callable[[Array], Array]
    common: Common

    def setup(self):
        """The layers that teacher forcing and generation share."""
        self.stack = _attention.Stack(self.depth, self.heads, self.common)
        self.output = Dense(self.size, dtype=self.common.dtype)
        if self.autoregressive:
            self.embedding = _sequence.Embedding(self.vocabulary, self.width, self.common.dtype)
            self.start = self.param("start", nn.initializers.normal(1.0), (self.width,))

    def emit(self, x: Array, mask: Array | None, **options: Any) -> tuple[Array, Any]:
        """`[n, width]` to `[n, size]`, and the cache."""
        x, cache = self.stack(x, mask, **options)
        return _layers.at_full_precision(self.output(x)), cache

    def forced(self, x: Array, target: Array, observed: Array | None, train: bool) -> Array:
        """Every position reads the target before it and, through attention, all of those."""
        before = self.embedding(_sequence.previous(target), observed)
        x = x + before.at[0].set(self.start.astype(before.dtype)).astype(x.dtype)
        causal = jnp.tri(len(x), dtype=bool)
        return self.emit(x, causal, train=train)[0]

    def generated(self, x: Array, train: bool, draw: _sequence.Draw | None) -> tuple[Array, Array]:
        """Every position reads what is drawn before it, or guessed; the output, and those."""
        length = len(x)

        def step(module, carry, inputs):
            (fed, cache), (x, index) = carry, inputs
            before = module.embedding(fed)
            x = x + jnp.where(index == 0, module.start.astype(before.dtype), before).astype(x.dtype)
            seen = jnp.arange(length) <= index
            y, cache = module.emit(x[None], seen[None], train=train, cache=cache, index=index)
            fed = _sequence.chosen(module, y[0], index, draw).astype(fed.dtype)
            return (fed, cache), (y[0], fed)

        fed = _sequence.no_entry(self.size, self.vocabulary, self.per_entry)
        scan = nn.scan(
            step, variable_broadcast="params", split_rngs={"params": False, "dropout": True}
        )
        carry = (fed, self.stack.empty_cache(length, self.width))
        return scan(self, carry, (x, jnp.arange(length)))[1]


class TransformerDecoder(nn.Module):
    """z at every position, and the entry before it if autoregressive, through blocks."""

    output_shape: Shape
    vocabulary: int | None
    width: int
    depth: int
    heads: int
    autoregressive: bool
    per_entry: int
    feedback: Callable[[Array], Array]
    word_dropout: float
    common: Common

    @nn.compact
    def __call__(
        self,
        z: Array,
        target: Array | None = None,
        observed: Array | None = None,
        extras: Mapping[str, Array] | None = None,
        train: bool = False,
        draw: _sequence.Draw | None = None,
    ) -> Array:
        """`[*latent]` to `[T, n]`, each position told the target before it, or its own guess."""
        length, size = self.output_shape
        x = _sequence.from_latent(self, z, extras)
        x = _attention.with_positions(self, x, length)
        core = _Core(
            size=size,
            vocabulary=self.vocabulary,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            autoregressive=self.autoregressive,
            per_entry=self.per_entry,
            feedback=self.feedback,
            common=self.common,
            name="core",
        )
        if not self.autoregressive:
            return core.emit(x, _sequence.within_length(extras, length), train=train)[0]
        if target is None and self.is_initializing():  # the same parameters, and no loop
            entry = _sequence.no_entry(size, self.vocabulary, self.per_entry)
            target = jnp.zeros((length, *entry.shape), entry.dtype)
        if target is None:
            y, entries = core.generated(x, train, draw)
            if draw is not None:
                self.sow("intermediates", ENTRIES, entries)
            return y
        seen = _sequence.teacher(self, target, observed, train)
        return core.forced(x, target, seen, train)


def require_pool(pool: str) -> None:
    """Raises ConfigError for an unknown way to pool."""
    if pool not in POOLS:
        raise ConfigError(f"pool cannot be {pool!r}{nearest(pool, POOLS)}")


@NETWORKS.register
def transformer(
    vocabulary: int | None = None,
    width: int = 128,
    depth: int = 2,
    heads: int = 4,
    pool: str = "flatten",
    dropout: float = 0.0,
    remat: bool = False,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """An encoder of tokens `[T]` or series `[T, C]` by self-attention (Vaswani et al. 2017).

    Learned positions, normalisation before each half of a block and after the last. Positions from
    `extras["length"]` on, where there is such an entry, are neither looked at nor pooled. Entries
    that are not observed, and tokens outside the vocabulary, have an embedding of their own.
    Activation: `features`, what is pooled.

    Numbers are dropped after attention and after the dense layers of a block.

    Args:
      vocabulary: number of tokens; None for series.
      width: width of the blocks.
      depth: number of blocks; beyond 12, or with remat, one of them is compiled; with 0, positions
        meet in the last dense layer alone, which is quick and goes far for short sequences.
      heads: heads of attention; they divide the width.
      pool: what the last dense layer sees: "flatten", all positions side by side; "mean", their
        mean, for long sequences; "none", each by itself, to emit `(T, d)`.
      dropout: rate of dropout in training, see `Common`.
      remat: whether blocks are computed again in the backward pass, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when initialised with x of another rank, or if "none" cannot emit the shape.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.transformer(vocabulary=100, width=16, depth=1).bind((8,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros(20, int))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros(20, int))[0].shape
      (8,)
    """
    options = locals()
    _attention.require_heads(width, heads)
    _attention.require_depth(depth)
    require_pool(pool)
    return _sequence.encoder_network(TransformerEncoder, **options)


@NETWORKS.register
def transformer_decoder(
    vocabulary: int | None = None,
    width: int = 128,
    depth: int = 2,
    heads: int = 4,
    autoregressive: bool = False,
    per_entry: int = 1,
    feedback: str | Callable[[Array], Array] = "identity",
    word_dropout: float = 0.0,
    dropout: float = 0.0,
    remat: bool = False,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """A decoder to `[T, n]` by self-attention: logits of tokens, or parameters of a series.

    z enters at every position, each through weights of its own (z of shape `[T, d]` position by
    position). Without `autoregressive`, positions look at each other, up to `extras["length"]`
    where there is such an entry. With it, each reads the entries before: the clean `target`'s where
    it is given (teacher forcing, all positions at once), else what comes one after the other, with
    cached keys and values: draws in `sample(observations=True)`, and in `decode` its own guesses,
    the most probable token or the location.

    Numbers are dropped after attention and after the dense layers of a block.

    Args:
      vocabulary: number of tokens; None for series.
      width: width of the blocks.
      depth: number of blocks; beyond 12, or with remat, one of them is compiled; with 0, each
        position's vector from z is normalised and becomes its output.
      heads: heads of attention; they divide the width.
      autoregressive: whether each position reads those before.
      per_entry: numbers that the likelihood takes for an entry of a series, 2 where it predicts a
        variance; the locations come first.
      feedback: activation's name, from locations to entries: "identity", or "sigmoid" where the
        locations are logits.
      word_dropout: rate at which, in training, a target's position is hidden (Bowman et al. 2016),
        so that z has to tell it.
      dropout: rate of dropout in training, see `Common`.
      remat: whether blocks are computed again in the backward pass, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when bound to a shape other than `(T, vocabulary)` or `(T, per_entry · C)`.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.transformer_decoder(vocabulary=100, width=16, depth=1).bind((20, 100))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros(8))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros(8))[0].shape
      (20, 100)
    """
    options = locals() | {"feedback": activation_function(feedback)}
    _attention.require_heads(width, heads)
    _attention.require_depth(depth)
    return _sequence.decoder_network(TransformerDecoder, "transformer_decoder", **options)
