"""Mixtures of distributions of one kind."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from ae_jax.types import Array, Distribution, PRNGKey


class Mixture(NamedTuple):
    """Σ_k π_k p_k(z) with π = softmax(logits).

    Attributes:
      logits: `[K]`.
      components: a Distribution whose leaves have a first axis `[K, …]`.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> two = ae.distributions.DiagonalGaussian(jnp.zeros((2, 1)), jnp.zeros((2, 1)))
      >>> round(float(Mixture(jnp.zeros(2), two).log_prob(jnp.zeros(1))), 4)  # -½ log 2π
      -0.9189
    """

    logits: Array
    components: Distribution

    def log_prob(self, value: Array) -> Array:
        """Log Σ_k π_k p_k(v), scalar nats."""
        each = jax.vmap(lambda component: component.log_prob(value))(self.components)
        return logsumexp(jax.nn.log_softmax(self.logits) + each)

    def sample(self, key: PRNGKey) -> Array:
        """A component, then a draw from it: differentiable in the component, not in π."""
        which, drawn = jax.random.split(key)
        return self._component(jax.random.categorical(which, self.logits)).sample(drawn)

    @property
    def mean(self) -> Array:
        """Σ_k π_k E_k[z]."""
        means = jax.vmap(lambda component: component.mean)(self.components)
        return jnp.tensordot(jax.nn.softmax(self.logits), means, axes=1)

    @property
    def mode(self) -> Array:
        """That of the components' modes where the mixture is densest."""
        modes = jax.vmap(lambda component: component.mode)(self.components)
        return modes[jnp.argmax(jax.vmap(self.log_prob)(modes))]

    def _component(self, number: Array) -> Distribution:
        return jax.tree.map(lambda leaf: leaf[number], self.components)
