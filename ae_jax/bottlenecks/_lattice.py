"""Codes that no table holds: on a lattice, side by side, summed over levels; and their priors."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.bottlenecks._shapes import no_stats, same_state
from ae_jax.distributions import Quantized, kl_divergence
from ae_jax.errors import ConfigError
from ae_jax.types import Array, Bottleneck, Codes, Distribution, PRNGKey, Shape

MOST = 2**31 - 1  # codes that int32 can number


class Lattice(NamedTuple):
    """Every combination of one of L_i levels in each dimension i.

    Attributes:
      levels: L_i of each dimension.
      centre: the digit of each that stands for 0.
      unit: how many digits make 1: a level is (digit - centre) / unit.
    """

    levels: tuple[int, ...]
    centre: tuple[float, ...]
    unit: tuple[float, ...]

    @property
    def size(self) -> int:
        """How many codes there are."""
        return math.prod(self.levels)

    def number(self, digits: Array) -> Array:
        """The number of a code from its levels' `[*positions, d]`: the first varies fastest."""
        basis = np.cumprod((1, *self.levels[:-1])).astype(np.int32)
        return jnp.sum(digits.astype(jnp.int32) * basis, axis=-1, dtype=jnp.int32)

    def digits(self, numbers: Array) -> Array:
        """The levels of each code, int32 `[*positions, d]`: the inverse of `number`."""
        basis = np.cumprod((1, *self.levels[:-1])).astype(np.int32)
        return numbers[..., None] // basis % np.array(self.levels, np.int32)

    def codes(self, digits: Array) -> Array:
        """The codes of these levels, float32 `[*positions, d]`."""
        centre, unit = np.asarray((self.centre, self.unit), np.float32)
        return (digits.astype(jnp.float32) - centre) / unit


def require_numbered(lattice: Lattice) -> None:
    """Raises ConfigError where int32 cannot number the codes."""
    if lattice.size > MOST:
        raise ConfigError(
            f"{' × '.join(map(str, lattice.levels))} levels make {lattice.size:.3g} codes a "
            f"position, of which int32 can number {MOST}: take fewer dimensions a position, or "
            "ae.bottlenecks.grouped"
        )


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=[], meta_fields=["lattice", "positions"]
)
@dataclasses.dataclass(frozen=True)
class UniformLattice:
    """Any code of a lattice at any position with the same probability, `[*positions, d]`.

    Attributes:
      lattice: its levels.
      positions: the shape of the latent without its last axis.
    """

    lattice: Lattice
    positions: Shape

    def log_prob(self, value: Array) -> Array:
        """-positions · Σ log L_i, of any codes: a mass and not a density, in nats."""
        nats = math.prod(self.positions) * sum(map(math.log, self.lattice.levels))
        return jnp.full((), -nats, value.dtype)

    def sample(self, key: PRNGKey) -> Array:
        """Levels drawn independently."""
        levels = np.array(self.lattice.levels, np.int32)
        shape = (*self.positions, len(levels))
        return self.lattice.codes(jax.random.randint(key, shape, 0, levels))

    @property
    def mean(self) -> Array:
        """The mean level everywhere."""
        return self._everywhere((np.array(self.lattice.levels) - 1) / 2)

    @property
    def mode(self) -> Array:
        """The lowest level everywhere: all are equally probable."""
        return self._everywhere(np.zeros(len(self.lattice.levels)))

    def _everywhere(self, digits: np.ndarray) -> Array:
        code = self.lattice.codes(jnp.asarray(digits))
        return jnp.broadcast_to(code, (*self.positions, len(digits)))


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["codebooks"], meta_fields=["positions"]
)
@dataclasses.dataclass(frozen=True)
class SumOfCodes:
    """The sum of one code of each level, all of the same probability, `[*positions, d]`.

    Attributes:
      codebooks: `[levels, codes, d]`.
      positions: the shape of the latent without its last axis.
    """

    codebooks: Array
    positions: Shape

    def log_prob(self, value: Array) -> Array:
        """-positions · levels · log codes: of the codes' numbers, in nats."""
        levels, size, _ = self.codebooks.shape
        nats = math.prod(self.positions) * levels * math.log(size)
        return jnp.full((), -nats, value.dtype)

    def sample(self, key: PRNGKey) -> Array:
        """Codes drawn independently, summed."""
        levels, size, _ = self.codebooks.shape
        numbers = jax.random.randint(key, (levels, *self.positions), 0, size)
        return sum(book[own] for book, own in zip(self.codebooks, numbers, strict=True))  # pyright: ignore

    @property
    def mean(self) -> Array:
        """The sum of the levels' mean codes everywhere."""
        return self._everywhere(jnp.sum(jnp.mean(self.codebooks, axis=1), axis=0))

    @property
    def mode(self) -> Array:
        """The sum of the levels' first codes everywhere: all are equally probable."""
        return self._everywhere(jnp.sum(self.codebooks[:, 0], axis=0))

    def _everywhere(self, code: Array) -> Array:
        return jnp.broadcast_to(code, (*self.positions, code.shape[0]))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bits(Quantized):
    """A code of two levels a dimension.

    Attributes:
      bit_logits: log q(upper) − log q(lower) of each bit, `[*positions, d]`, under the soft
        assignment that entropy terms use.
    """

    bit_logits: Array


class SideBySide(NamedTuple):
    """Independent distributions whose values stand side by side along the last axis.

    Attributes:
      parts: of the same shape each.
    """

    parts: tuple[Any, ...]

    def log_prob(self, value: Array) -> Array | None:
        """The sum of the parts' log-probabilities; None where they have none."""
        pieces = jnp.split(value, len(self.parts), axis=-1)
        return total([part.log_prob(own) for part, own in zip(self.parts, pieces, strict=True)])

    def sample(self, key: PRNGKey) -> Array:
        """One draw of each."""
        keys = jax.random.split(key, len(self.parts))
        return together([part.sample(k) for part, k in zip(self.parts, keys, strict=True)])

    @property
    def mean(self) -> Array:
        """The means."""
        return together([part.mean for part in self.parts])

    @property
    def mode(self) -> Array:
        """The modes."""
        return together([part.mode for part in self.parts])

    @property
    def numbers(self) -> Array:
        """The codes' numbers, int32 `[…, parts]`."""
        return jnp.stack([part.numbers for part in self.parts], axis=-1)

    def __getattr__(self, name: str) -> Array:
        """What each part has under this name, such as features and codes, stacked."""
        if name not in ("features", "codes"):
            raise AttributeError(name)
        return jnp.stack([getattr(part, name) for part in self.parts], axis=1)


def together(pieces: Sequence[Array]) -> Array:
    """The pieces side by side along the last axis."""
    return jnp.concatenate(pieces, axis=-1)


def total(nats: Sequence[Array | None]) -> Array | None:
    """Their sum; None if one is None."""
    known = [value for value in nats if value is not None]
    return functools.reduce(jnp.add, known) if len(known) == len(nats) else None


@kl_divergence.register
def _(posterior: SideBySide, prior: Distribution) -> Array | None:
    if not isinstance(prior, SideBySide):
        return None
    pairs = zip(posterior.parts, prior.parts, strict=True)
    return total([kl_divergence(*pair) for pair in pairs])


def on_lattice(
    shape: Shape, lattice: Lattice, posterior: Callable[[Array], Distribution]
) -> Bottleneck:
    """The bottleneck of features rounded to a lattice: nothing is learned, nothing drawn.

    Args:
      shape: of the latent and of the features, `(*positions, d)`.
      lattice: of each position.
      posterior: of the features of one example.
    """
    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=lambda key: ({}, {}),
        posterior=lambda params, state, features: posterior(features),
        latent=lambda params, state, posterior, key: posterior.value,
        prior=lambda params, state: UniformLattice(lattice, shape[:-1]),
        stats=no_stats,
        update=same_state,
        codes=Codes(
            shape[:-1],
            lattice.size,
            lambda params, state, numbers: lattice.codes(lattice.digits(numbers)),
        ),
    )
