"""Codes that know more than their value: of few units, of a codebook."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from ae_jax.distributions.point import PointMass
from ae_jax.types import Array, PRNGKey, Shape


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SparseCode(PointMass):
    """A code of few units.

    Attributes:
      value: z, `[*latent]`.
      units: what the units would be if all were kept, `[*latent]`.
      dead: bool `[*latent]`, the units that have not fired for long.
      active: int32 `[k]`, the places in the flattened value that may be other than 0.
    """

    value: Array
    units: Array
    dead: Array
    active: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Quantized(PointMass):
    """One code of a codebook at every position.

    Attributes:
      value: z, the codes with the gradient of the features, `[*positions, d]`.
      features: z_e, what the encoder emitted, `[*positions, d]`.
      codes: the codes nearest to them, `[*positions, d]`.
      numbers: theirs in the codebook, int32 `[*positions]`.
    """

    value: Array
    features: Array
    codes: Array
    numbers: Array

    def log_prob(self, value: Array) -> Array:
        """0: all of the mass is on these codes."""
        return jnp.zeros((), value.dtype)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["codebook"], meta_fields=["positions"]
)
@dataclasses.dataclass(frozen=True)
class UniformCodes:
    """Any code at any position with the same probability, `[*positions, d]`.

    Attributes:
      codebook: `[codes, d]`.
      positions: the shape of the latent without its last axis.
    """

    codebook: Array
    positions: Shape

    def log_prob(self, value: Array) -> Array:
        """-positions · log codes, of any codes: a mass and not a density, in nats."""
        nats = math.prod(self.positions) * math.log(self.codebook.shape[0])
        return jnp.full((), -nats, value.dtype)

    def sample(self, key: PRNGKey) -> Array:
        """Codes drawn independently."""
        numbers = jax.random.randint(key, self.positions, 0, self.codebook.shape[0])
        return self.codebook[numbers]

    @property
    def mean(self) -> Array:
        """The mean code everywhere."""
        return self._everywhere(jnp.mean(self.codebook, axis=0))

    @property
    def mode(self) -> Array:
        """The first code everywhere: all are equally probable."""
        return self._everywhere(self.codebook[0])

    def _everywhere(self, code: Array) -> Array:
        return jnp.broadcast_to(code, (*self.positions, code.shape[0]))
