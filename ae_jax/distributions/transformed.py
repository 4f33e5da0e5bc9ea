"""A distribution led through a flow."""

import dataclasses
import functools
from typing import Any

import jax

from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Array, Distribution, Flow, PRNGKey, Tree


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["base", "params", "context"],
    meta_fields=["flow"],
)
@dataclasses.dataclass(frozen=True)
class Transformed:
    """Z = f(x) with x from a base over vectors `[d]`; log p(z) = log p(x) - log |det ∂f/∂x|.

    Attributes:
      base: a Distribution over `[d]`.
      params: of the flow.
      context: what the flow is told beside x, or None.
      flow: f.

    Example:
      >>> import ae_jax as ae, jax
      >>> flow = ae.flows.planar(layers=1)
      >>> params = flow.init(jax.random.key(0), 2, 0)
      >>> p = Transformed(ae.distributions.standard_normal((2,)), params, None, flow)
      >>> p.sample(jax.random.key(1)).shape
      (2,)
    """

    base: Distribution
    params: Tree
    context: Array | None
    flow: Flow

    def log_prob(self, value: Array) -> Array:
        """Log-density by the flow's inverse, scalar nats."""
        (value,) = at_least_float32(value)
        x, log_det = self.flow.inverse(self.params, value, self.context)
        log_px: Any = self.base.log_prob(x)
        return log_px + log_det

    def sample(self, key: PRNGKey) -> Array:
        """A draw of the base, led through; reparameterised if that is."""
        return self.flow.forward(self.params, self.base.sample(key), self.context)[0]

    def sample_and_log_prob(self, key: PRNGKey) -> tuple[Array, Array]:
        """The same draw and its log-density, in one pass forward."""
        x = self.base.sample(key)
        z, log_det = self.flow.forward(self.params, x, self.context)
        log_px: Any = self.base.log_prob(x)
        return z, log_px - log_det

    @property
    def mean(self) -> Array:
        """Where the base's mean is led: the mean itself has no closed form."""
        return self.flow.forward(self.params, self.base.mean, self.context)[0]

    @property
    def mode(self) -> Array:
        """Where the base's mode is led: the mode itself has no closed form."""
        return self.flow.forward(self.params, self.base.mode, self.context)[0]
