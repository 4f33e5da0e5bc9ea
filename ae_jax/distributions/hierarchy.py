"""Latents in levels, each drawn given those above it."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.distributions._kl import kl_divergence
from ae_jax.losses._precision import at_least_float32
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, Distribution, Draw, PRNGKey, Shape, Tree


class Level(NamedTuple):
    """One level of a hierarchy, as a walk from the top finds it.

    Attributes:
      z: its latent.
      prior: p(z_l | z_{>l}), a Distribution.
      posterior: q(z_l | z_{>l}, x), a Distribution; None on a walk that is told nothing of x.
    """

    z: Array
    prior: Any
    posterior: Any

    @property
    def law(self) -> Distribution:
        """What z is drawn from: the posterior, or without one the prior."""
        return self.prior if self.posterior is None else self.posterior


class Walk(NamedTuple):
    """A hierarchy from its top to its bottom.

    Attributes:
      levels: each Level, the bottom's first.
      state: what decoders are given: a function of all levels.
    """

    levels: tuple[Level, ...]
    state: Array


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "told"],
    meta_fields=["walk", "shapes"],
)
@dataclasses.dataclass(frozen=True)
class Hierarchy:
    """Π_l q(z_l | z_{>l}, x), or of an example of which nothing is told Π_l p(z_l | z_{>l}).

    A value is all levels flattened side by side, the bottom's first.

    Attributes:
      params: of the network that leads from each level to the next below.
      told: what the encoder says of x at each level, the bottom's first; None: this is the prior.
      walk: `(params, told, pick) -> Walk`, with `pick(l, law)` the latent of level l.
      shapes: of the levels' latents, the bottom's first.

    Example:
      >>> import ae_jax as ae, jax
      >>> bottleneck = ae.bottlenecks.ladder((4, 2))
      >>> prior = bottleneck.prior(*bottleneck.init(jax.random.key(0)))
      >>> prior.sample(jax.random.key(1)).shape
      (6,)
    """

    params: Tree
    told: tuple[Array, ...] | None
    walk: Callable[..., Walk]
    shapes: tuple[Shape, ...]

    def at(self, value: Array) -> Walk:
        """The walk along given latents `[d]`."""
        (value,) = at_least_float32(value)
        pieces = split(value, self.shapes)
        return self.walk(self.params, self.told, lambda number, law: pieces[number])

    def log_prob(self, value: Array) -> Array:
        """The sum of the levels' log-densities given those above, scalar nats."""
        return _log_prob(self.at(value))

    def sample(self, key: PRNGKey) -> Array:
        """One draw, from the top down; reparameterised."""
        return _joined(self._drawn(key))

    def draw(self, key: PRNGKey) -> Draw:
        """The same draw, its log-density, each level's KL and the decoder's input, in one walk."""
        walk = self._drawn(key)
        kl = [kl_divergence(level.law, level.prior) for level in walk.levels]
        closed = [value for value in kl if value is not None]
        by_level = jnp.stack(closed) if len(closed) == len(kl) else None
        return Draw(_joined(walk), _log_prob(walk), by_level, walk.state)

    @property
    def mean(self) -> Array:
        """Each level's mean given the means above: the mean itself has no closed form."""
        return _joined(self.walk(self.params, self.told, lambda number, law: law.mean))

    @property
    def mode(self) -> Array:
        """Each level's mode given the modes above: the mode itself has no closed form."""
        return _joined(self.walk(self.params, self.told, lambda number, law: law.mode))

    def _drawn(self, key: PRNGKey) -> Walk:
        pick = lambda number, law: law.sample(fused_random.fold_in(key, number))
        return self.walk(self.params, self.told, pick)


def split(value: Array, shapes: Sequence[Shape]) -> list[Array]:
    """A vector as arrays of these shapes, which lie in it side by side."""
    sizes = [math.prod(shape) for shape in shapes]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    pieces = jnp.split(value, ends)
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _joined(walk: Walk) -> Array:
    return jnp.concatenate([jnp.ravel(level.z) for level in walk.levels])


def _log_prob(walk: Walk) -> Array:
    each: list[Any] = [level.law.log_prob(level.z) for level in walk.levels]
    return functools.reduce(jnp.add, each)
