"""Student's t distribution with independent entries."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.types import Array, PRNGKey


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["loc", "log_scale"], meta_fields=["degrees"]
)
@dataclasses.dataclass(frozen=True)
class StudentT:
    """Student's t by location μ, scale σ and degrees of freedom ν; entries are independent.

    Attributes:
      loc: μ, of the event's shape.
      log_scale: log σ, of the event's shape.
      degrees: ν, one number; there is a mean from ν > 1 on.

    Example:
      >>> import jax.numpy as jnp
      >>> q = StudentT(jnp.zeros(1), jnp.zeros(1), 1.0)
      >>> round(float(q.log_prob(jnp.zeros(1))), 4)  # -log π
      -1.1447
    """

    loc: Array
    log_scale: Array
    degrees: float

    def log_prob(self, value: Array) -> Array:
        """Summed over the entries, scalar nats; see `ae_jax.losses.student_t_nll`."""
        degrees = jnp.full(jnp.shape(self.loc), math.log(self.degrees), jnp.float32)
        return -losses.student_t_nll(value, self.loc, self.log_scale, degrees)

    def sample(self, key: PRNGKey) -> Array:
        """μ + σ t, reparameterised."""
        drawn = jax.random.t(key, self.degrees, self.loc.shape, self.loc.dtype)
        return self.loc + jnp.exp(self.log_scale) * drawn

    @property
    def mean(self) -> Array:
        """μ, which is the median too."""
        return self.loc

    @property
    def mode(self) -> Array:
        """μ."""
        return self.loc
