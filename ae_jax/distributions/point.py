"""The point mass, of codes without noise."""

import dataclasses

import jax

from ae_jax.types import Array, PRNGKey


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PointMass:
    """All of the mass at one point: it has no density, so `log_prob` is None.

    Attributes:
      value: The point, of the event's shape.
    """

    value: Array

    def log_prob(self, value: Array) -> Array | None:
        """None: a point has no density."""
        del value

    def sample(self, key: PRNGKey) -> Array:
        """The point."""
        del key
        return self.value

    @property
    def mean(self) -> Array:
        """The point."""
        return self.value

    @property
    def mode(self) -> Array:
        """The point."""
        return self.value
