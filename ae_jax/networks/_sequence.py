"""What recurrent and attention networks for sequences share.

A sequence is tokens `[T]`, class indices 0 … V - 1 (integers, or floats that hold them), or a
series `[T, C]` of real numbers. An entry that is not observed, and a token outside 0 … V - 1, such
as a corruption's mask token, enters as "missing": tokens have one more embedding for it, series
one indicator beside each number.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ae_jax.checks import require_below_one, require_event_rank, require_positive_ints
from ae_jax.errors import ShapeError
from ae_jax.networks import _layers
from ae_jax.networks._dense import Dense
from ae_jax.networks.adapters import from_linen
from ae_jax.networks.common import Common
from ae_jax.types import Array, Network, Shape

LENGTH = "length"
Draw = Callable[[Array, Array], Array]  # (y of a position, position) -> entry


def check_event(shape: Shape, vocabulary: int | None, what: str) -> None:
    """Raises ShapeError unless the shape is that of tokens, or of a series without vocabulary."""
    if vocabulary is None:
        expected = "takes series [T, C] unless it is given a vocabulary"
        require_event_rank(shape, (2,), what, expected)
    else:
        expected = f"with vocabulary={vocabulary} takes tokens [T]"
        require_event_rank(shape, (1,), what, expected)


def check_output(shape: Shape, vocabulary: int | None, per_entry: int, what: str) -> None:
    """Raises ShapeError unless a decoder can emit the shape."""
    require_event_rank(shape, (2,), what, "emits [T, numbers a position]")
    if vocabulary is not None and shape[1] != vocabulary:
        raise ShapeError(
            f"{what} with vocabulary={vocabulary} emits (T, {vocabulary}), got shape {shape}"
        )
    if vocabulary is None and shape[1] % per_entry:
        raise ShapeError(
            f"{what} with per_entry={per_entry} emits a multiple of that at each position, "
            f"got shape {shape}"
        )


def within_length(extras: Mapping[str, Array] | None, size: int) -> Array | None:
    """Bool `[size]`, True before `extras["length"]`; None where there is no such entry."""
    if not extras or LENGTH not in extras:
        return None
    return jnp.arange(size) < jnp.reshape(extras[LENGTH], ())


class Embedding(nn.Module):
    """Entries of a sequence as vectors."""

    vocabulary: int | None
    width: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, observed: Array | None = None) -> Array:
        """Tokens `[…]` or numbers `[…, C]` to `[…, width]`."""
        x = jnp.asarray(x)
        observed = jnp.ones(x.shape, bool) if observed is None else jnp.asarray(observed, bool)
        if self.vocabulary is None:
            x, missing = _layers.floating(x), ~observed
            x = jnp.concatenate([jnp.where(missing, 0, x), missing.astype(x.dtype)], axis=-1)
            return Dense(self.width, dtype=self.dtype, name="entries")(x)
        x = (jnp.round(x) if jnp.issubdtype(x.dtype, jnp.floating) else x).astype(jnp.int32)
        known = observed & (x >= 0) & (x < self.vocabulary)
        table = nn.Embed(self.vocabulary + 1, self.width, dtype=self.dtype, name="entries")
        return table(jnp.where(known, x, self.vocabulary))


def previous(x: Array) -> Array:
    """Each position's predecessor; the first position's is of no meaning."""
    return jnp.roll(x, 1, axis=0)


def dropped(key: Array, observed: Array, rate: float) -> Array:
    """`observed` with whole positions lost at a rate, as in word dropout (Bowman et al. 2016)."""
    kept = jax.random.bernoulli(key, 1 - rate, observed.shape[:1])
    return observed & kept.reshape(-1, *(1,) * (observed.ndim - 1))


def from_latent(module: Any, z: Array, extras: Mapping[str, Array] | None) -> Array:
    """A decoder's first layer: z and its condition at every position, `[T, width]`."""
    length = module.output_shape[0]
    z = _layers.floating(z)
    z = z if z.ndim == 2 and len(z) == length else jnp.ravel(z)
    z = module.common.with_condition(z, extras)
    return _layers.unfold(z, (length,), module.width, module.common.dtype)


def teacher(module: Any, target: Array, observed: Array | None, train: bool) -> Array:
    """Which entries an autoregressive decoder may read, each at the position that reads it."""
    seen = jnp.ones(jnp.shape(target), bool) if observed is None else jnp.asarray(observed, bool)
    if train and module.word_dropout:
        seen = dropped(module.make_rng("dropout"), seen, module.word_dropout)
    return previous(seen)


def no_entry(size: int, vocabulary: int | None, per_entry: int) -> Array:
    """The form of what a decoder that emits `size` numbers a position feeds back."""
    return jnp.zeros((), jnp.int32) if vocabulary is not None else jnp.zeros(size // per_entry)


def next_entry(
    y: Array, vocabulary: int | None, per_entry: int, feedback: Callable[[Array], Array]
) -> Array:
    """The entry that a greedy decoder takes its output for: the most probable token, or location.

    Args:
      y: `[n]`, of one position.
      vocabulary: number of tokens.
      per_entry: numbers the likelihood takes for an entry of a series, all locations first.
      feedback: from those to the entries, e.g. a sigmoid for logits.
    """
    if vocabulary is not None:
        return jnp.argmax(y, axis=-1).astype(jnp.int32)
    return feedback(y[: y.shape[0] // per_entry])


def chosen(module: Any, y: Array, position: Array, draw: Draw | None) -> Array:
    """The entry that a decoder goes on from: drawn, or its guess."""
    if draw is None:
        return next_entry(y, module.vocabulary, module.per_entry, module.feedback)
    return draw(y, position)


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a module from a factory's arguments, the shared ones as `common`.

    Raises:
      ConfigError: the first option, of those that are there, that is out of its range.
    """
    require_positive_ints(width=options["width"])
    if options["vocabulary"] is not None:
        require_positive_ints(vocabulary=options["vocabulary"])
    require_positive_ints(per_entry=options.get("per_entry", 1))
    require_below_one(word_dropout=options.get("word_dropout", 0.0))
    common = Common.of(options)
    return {k: v for k, v in options.items() if not hasattr(common, k)} | {"common": common}


def encoder_network(module: Callable[..., nn.Module], **options: Any) -> Network:
    """A Network of an encoder module."""
    fields = checked(options)
    return Network(lambda shape: from_linen(module(output_shape=tuple(shape), **fields)))


def decoder_network(module: Callable[..., nn.Module], what: str, **options: Any) -> Network:
    """A Network of a decoder module, its output shape checked when it is bound."""
    fields = checked(options)

    def bind(shape: Shape):
        check_output(tuple(shape), options["vocabulary"], options["per_entry"], what)
        return from_linen(module(output_shape=tuple(shape), **fields))

    return Network(bind)
