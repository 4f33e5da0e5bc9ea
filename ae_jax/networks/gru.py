"""Recurrent encoders and decoders for tokens and series."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.checks import require_positive_ints
from ae_jax.networks import _layers, _sequence
from ae_jax.networks._dense import Dense
from ae_jax.networks.activations import activation_function
from ae_jax.networks.common import Common
from ae_jax.types import ENTRIES, Array, Network, Shape


class _Step(nn.Module):
    """A GRU cell that stands still where its input is not valid."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, state: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        x, valid = inputs
        new, _ = nn.GRUCell(self.width, dtype=self.dtype, name="cell")(state, x)
        state = jnp.where(valid, new.astype(state.dtype), state)
        return state, state


class GRUEncoder(nn.Module):
    """GRU layers over a sequence, both ways, and a dense layer on the last states."""

    output_shape: Shape
    vocabulary: int | None
    width: int
    depth: int
    bidirectional: bool
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
        _sequence.check_event(jnp.shape(x), self.vocabulary, "gru")
        x = _sequence.Embedding(self.vocabulary, self.width, self.common.dtype, name="embedding")(
            x, observed
        )
        valid = _sequence.within_length(extras, len(x))
        valid = jnp.ones(len(x), bool) if valid is None else valid
        directions = ("forward", "backward") if self.bidirectional else ("forward",)
        last = []
        for i in range(self.depth):
            x = self.common.drop(x, train)
            last, hidden = [], []
            for way in directions:
                scan = nn.scan(
                    _Step,
                    variable_broadcast="params",
                    split_rngs={"params": False},
                    reverse=way == "backward",
                )
                layer = scan(self.width, self.common.dtype, name=f"{way}_{i}")
                state, states = layer(jnp.zeros(self.width), (x, valid))
                last.append(state)
                hidden.append(states)
            x = jnp.concatenate(hidden, axis=-1)
        features = jnp.concatenate(last)
        self.sow("intermediates", "features", features)
        features = self.common.with_condition(features, extras)
        return _layers.emit(features, self.output_shape, self.common.dtype, per_position=False)


class _DecoderStep(nn.Module):
    """One position: the entry before it and what z says here, through the cells, to the output."""

    size: int
    vocabulary: int | None
    width: int
    depth: int
    autoregressive: bool
    per_entry: int
    feedback: Callable[[Array], Array]
    common: Common
    train: bool
    draw: _sequence.Draw | None = None

    @nn.compact
    def __call__(
        self, carry: tuple[tuple[Array, ...], Array], inputs: tuple[Array, Array, Any]
    ) -> tuple[tuple[tuple[Array, ...], Array], tuple[Array, Array]]:
        states, fed = carry
        x, position, teacher = inputs
        if self.autoregressive:
            entry, observed = (fed, None) if teacher is None else teacher
            embedding = _sequence.Embedding(
                self.vocabulary, self.width, self.common.dtype, name="embedding"
            )
            start = self.param("start", nn.initializers.normal(1.0), (self.width,))
            x = x + jnp.where(position == 0, start.astype(x.dtype), embedding(entry, observed))
        new = []
        for i, state in enumerate(states):
            x = self.common.drop(x, self.train)
            after, _ = nn.GRUCell(self.width, dtype=self.common.dtype, name=f"cell_{i}")(state, x)
            x = after.astype(state.dtype)
            new.append(x)
        y = _layers.at_full_precision(Dense(self.size, dtype=self.common.dtype, name="output")(x))
        if self.autoregressive:
            fed = _sequence.chosen(self, y, position, self.draw).astype(fed.dtype)
        return (tuple(new), fed), (y, fed)


class GRUDecoder(nn.Module):
    """GRU layers driven by z at every position, and by the entry before it if autoregressive."""

    output_shape: Shape
    vocabulary: int | None
    width: int
    depth: int
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
        teacher = None
        if self.autoregressive and target is not None:
            seen = _sequence.teacher(self, target, observed, train)
            teacher = (_sequence.previous(target), seen)
        scan = nn.scan(
            _DecoderStep,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
        )
        step = scan(
            size,
            self.vocabulary,
            self.width,
            self.depth,
            self.autoregressive,
            self.per_entry,
            self.feedback,
            self.common,
            train,
            draw,
            name="step",
        )
        states = tuple(jnp.zeros(self.width) for _ in range(self.depth))
        fed = _sequence.no_entry(size, self.vocabulary, self.per_entry)
        y, entries = step((states, fed), (x, jnp.arange(length), teacher))[1]
        if draw is not None and self.autoregressive and teacher is None:
            self.sow("intermediates", ENTRIES, entries)
        return y


@NETWORKS.register
def gru(
    vocabulary: int | None = None,
    width: int = 128,
    depth: int = 1,
    bidirectional: bool = True,
    dropout: float = 0.0,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """A recurrent encoder of tokens `[T]` or series `[T, C]` (Cho et al. 2014).

    The last states of the top layer, both ways, pass one dense layer. Positions from
    `extras["length"]` on, where there is such an entry, change nothing. Entries that are not
    observed, and tokens outside the vocabulary, have an embedding of their own. Activation:
    `features`, those states.

    Numbers are dropped before each layer.

    Args:
      vocabulary: number of tokens; None for series.
      width: width of embeddings and states.
      depth: number of layers.
      bidirectional: whether each layer also runs from the end.
      dropout: rate of dropout in training, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when initialised with x of another rank.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.gru(vocabulary=100, width=16).bind((8,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros(20, int))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros(20, int))[0].shape
      (8,)
    """
    options = locals()
    require_positive_ints(depth=depth)
    return _sequence.encoder_network(GRUEncoder, **options)


@NETWORKS.register
def gru_decoder(
    vocabulary: int | None = None,
    width: int = 128,
    depth: int = 1,
    autoregressive: bool = False,
    per_entry: int = 1,
    feedback: str | Callable[[Array], Array] = "identity",
    word_dropout: float = 0.0,
    dropout: float = 0.0,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """A recurrent decoder to `[T, n]`: the logits of tokens, or the parameters of a series.

    z enters at every position, each through weights of its own (z of shape `[T, d]` position by
    position). An autoregressive one also reads the entry before: the clean `target`'s where it is
    given (teacher forcing), what is drawn in `sample(observations=True)`, and in `decode` its own
    guess: the most probable token, or the location.

    Numbers are dropped before each layer.

    Args:
      vocabulary: number of tokens; None for series.
      width: width of embeddings and states.
      depth: number of layers.
      autoregressive: whether each position reads the one before.
      per_entry: numbers that the likelihood takes for an entry of a series, 2 where it predicts a
        variance; the locations come first.
      feedback: activation's name, from locations to entries: "identity", or "sigmoid" where the
        locations are logits.
      word_dropout: rate at which, in training, a target's position is hidden (Bowman et al. 2016),
        so that z has to tell it.
      dropout: rate of dropout in training, see `Common`.
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
      >>> coder = ae.networks.gru_decoder(vocabulary=100, width=16).bind((20, 100))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros(8))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros(8))[0].shape
      (20, 100)
    """
    options = locals() | {"feedback": activation_function(feedback)}
    require_positive_ints(depth=depth)
    return _sequence.decoder_network(GRUDecoder, "gru_decoder", **options)
