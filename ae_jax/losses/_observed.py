"""Sums over the observed entries of an event whose parameters may be wider than itself."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from ae_jax.errors import ShapeError
from ae_jax.losses._arguments import require_mask
from ae_jax.losses._precision import at_least_float32


def sum_over_observed(
    cost: Callable[..., jax.Array],
    observed: chex.Array | None,
    x: chex.Array,
    **parameters: chex.Array,
) -> jax.Array:
    """Σ cost(x, *parameters) over observed entries, of which only these have a gradient.

    Args:
      cost: elementwise in x, with a finite value and gradient where all its arguments are 0.
      observed: bool `[*event]`; None: all.
      x: `[*event]`.
      **parameters: `[*event]` or `[*event, …]`, in the order in which cost takes them.

    Returns:
      A scalar, never less precise than float32.

    Raises:
      ShapeError: a parameter does not begin with the shape of x.
      ConfigError: `observed` is not boolean.
    """
    require_mask(observed, x)
    event = jnp.shape(x)
    for name, parameter in parameters.items():
        if jnp.shape(parameter)[: len(event)] != event:
            raise ShapeError(
                f"the shape of {name} must begin with that of x, got {name} "
                f"{jnp.shape(parameter)} and x {event}"
            )
    arguments = at_least_float32(x, *parameters.values())
    if observed is None:
        return jnp.sum(cost(*arguments))
    # Blanked before the cost as well as after it: a NaN that only the second mask removed would
    # still be NaN in the gradient.
    wide = lambda v: jnp.reshape(observed, event + (1,) * (v.ndim - len(event)))
    entries = cost(*(jnp.where(wide(v), v, jnp.zeros_like(v)) for v in arguments))
    return jnp.sum(jnp.where(observed, entries, jnp.zeros_like(entries)))
