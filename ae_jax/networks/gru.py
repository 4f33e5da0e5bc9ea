"""Recurrent encoders and decoders for tokens and series."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.errors import require_positive_ints
from ae_jax.networks import _layers, _sequence
from ae_jax.networks._dense import Dense
from ae_jax.networks.mlp import activation_function
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
    dropout: float
    dtype: Any
    condition: str | None
    num_classes: int | None

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
        x = _sequence.Embedding(self.vocabulary, self.width, self.dtype, name="embedding")(
            x, observed
        )
        valid = _sequence.within_length(extras, len(x))
        valid = jnp.ones(len(x), bool) if valid is None else valid
        directions = ("forward", "backward") if self.bidirectional else ("forward",)
        last = []
        for i in range(self.depth):
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            last, hidden = [], []
            for way in directions:
                scan = nn.scan(
                    _Step,
                    variable_broadcast="params",
                    split_rngs={"params": False},
                    reverse=way == "backward",
                )
                layer = scan(self.width, self.dtype, name=f"{way}_{i}")
                state, states = layer(jnp.zeros(self.width), (x, valid))
                last.append(state)
                hidden.append(states)
            x = jnp.concatenate(hidden, axis=-1)
        features = jnp.concatenate(last)
        self.sow("intermediates", "features", features)
        features = _layers.append_condition(features, extras, self.condition, self.num_classes)
        return _layers.emit(features, self.output_shape, self.dtype, per_position=False)


class _DecoderStep(nn.Module):
    """One position: the entry before it and what z says here, through the cells, to the output."""

    size: int
    vocabulary: int | None
    width: int
    depth: int
    autoregressive: bool
    per_entry: int
    feedback: Callable[[Array], Array]
    dropout: float
    dtype: Any
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
                self.vocabulary, self.width, self.dtype, name="embedding"
            )
            start = self.param("start", nn.initializers.normal(1.0), (self.width,))
            x = x + jnp.where(position == 0, start.astype(x.dtype), embedding(entry, observed))
        new = []
        for i, state in enumerate(states):
            x = nn.Dropout(self.dropout, deterministic=not self.train)(x)
            after, _ = nn.GRUCell(self.width, dtype=self.dtype, name=f"cell_{i}")(state, x)
            x = after.astype(state.dtype)
            new.append(x)
        y = _layers.at_full_precision(Dense(self.size, dtype=self.dtype, name="output")(x))
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
    dropout: float
    dtype: Any
    condition: str | None
    num_classes: int | None

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
            self.dropout,
            self.dtype,
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

    Args:
      vocabulary: the number of tokens; None for series.
      width: of embeddings and states.
      depth: the number of layers.
      bidirectional: whether each layer also runs from the end.
      dropout: the rate before each layer.
      dtype: computed in, e.g. "bfloat16"; parameters and output are float32. None: float32.
      condition: the entry of `extras` appended to the last states.
      num_classes: if that is a label, how many there are; a label of -1 is none.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when initialised with x of another rank.
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

    Args:
      vocabulary: the number of tokens; None for series.
      width: of embeddings and states.
      depth: the number of layers.
      autoregressive: whether each position reads the one before.
      per_entry: the numbers that the likelihood takes for an entry of a series, 2 where it predicts
        a variance; the locations come first.
      feedback: from locations to entries, an activation's name: "identity", or "sigmoid" where the
        locations are logits.
      word_dropout: the rate at which, in training, a target's position is hidden (Bowman et al.
        2016), so that z has to tell it.
      dropout: the rate before each layer.
      dtype: computed in, e.g. "bfloat16"; parameters and output are float32. None: float32.
      condition: the entry of `extras` appended to z.
      num_classes: if that is a label, how many there are; a label of -1 is none.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when bound to a shape other than `(T, vocabulary)` or `(T, per_entry · C)`.
    """
    options = locals() | {"feedback": activation_function(feedback)}
    require_positive_ints(depth=depth)
    return _sequence.decoder_network(GRUDecoder, "gru_decoder", **options)
