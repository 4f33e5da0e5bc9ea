"""Flows whose parameters at each entry are a masked network's, of entries of lower degree."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from ae_jax.networks import _masked
from ae_jax.types import Array, Flow

Elementwise = Callable[[Array, Array], tuple[Array, Array]]
"""`(values [d], parameters [d, p]) -> (values [d], log-derivatives [d])`."""


def masked(
    there: Elementwise,
    back: Elementwise,
    parameters: int,
    degrees_of: Callable[[int], Sequence[int]],
    hidden: Sequence[int],
) -> Flow:
    """The flow whose density takes one pass, and whose samples take one for each degree.

    Forward, entry i of the latent is `there` of entry i of the base with parameters from entries of
    the latent of lower degree; the inverse knows all of them at once.

    Args:
      there: from base to latent, elementwise and increasing; parameters 0 make it the identity.
      back: its inverse.
      parameters: p, how many an entry has.
      degrees_of: `size -> degrees`.
      hidden: sizes of the network's hidden layers.

    Returns:
      A Flow.
    """

    def init(key, size, context=0):
        return _masked.init(key, tuple(degrees_of(size)), hidden, parameters, context)

    def inverse(params, y, context=None):
        degrees = tuple(degrees_of(y.shape[0]))
        x, log_derivatives = back(y, _masked.apply(params, degrees, y, context))
        return x, jnp.sum(log_derivatives)

    def forward(params, x, context=None):
        degrees = tuple(degrees_of(x.shape[0]))

        def next_degree(y, _):
            return there(x, _masked.apply(params, degrees, y, context))[0], None

        # After pass n, the entries of degrees below n are right; the last pass is differentiated as
        # the others are, since each entry depends on those before it through all of them.
        y, _ = jax.lax.scan(next_degree, jnp.zeros_like(x), length=max(degrees))
        y, log_derivatives = there(x, _masked.apply(params, degrees, y, context))
        return y, jnp.sum(log_derivatives)

    return Flow(init, forward, inverse)


def autoregressive(size: int) -> range:
    """Every entry has a degree of its own: 0 … size - 1."""
    return range(size)
