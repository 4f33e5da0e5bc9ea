"""Sums over the observed entries of an event whose parameters may be wider than itself."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_mask, require_same_shape
from ae_jax.errors import ShapeError
from ae_jax.losses._precision import at_least_float32


def sum_over_observed(
    cost: Callable[..., jax.Array],
    observed: chex.Array | None,
    x: chex.Array,
    *,
    components: bool = False,
    **parameters: chex.Array,
) -> jax.Array:
    """Σ cost(x, *parameters) over observed entries, of which only these have a gradient.

    Args:
      cost: elementwise in x, with a finite value and gradient where all its arguments are 0.
      observed: bool `[*event]`; None: all.
      x: `[*event]`.
      components: whether all parameters have one axis more than x, of the same size.
      **parameters: `[*event]` or `[*event, K]`, in the order in which cost takes them.

    Returns:
      A scalar, never less precise than float32.

    Raises:
      ShapeError: a parameter has another shape.
      ConfigError: `observed` is not boolean.
    """
    require_mask(observed, x)
    event = jnp.shape(x)
    if components:
        for name, parameter in parameters.items():
            if jnp.shape(parameter)[:-1] != event or jnp.ndim(parameter) == 0:
                raise ShapeError(
                    f"{name} must have the shape of x and one axis more, got {name} "
                    f"{jnp.shape(parameter)} and x {event}"
                )
        require_same_shape(**parameters)
    else:
        require_same_shape(x=x, **parameters)
    # XLA:CPU sums along the last axis: flat, an image of one channel takes a tenth of the time.
    flat = lambda v: jnp.reshape(v, (-1, *v.shape[len(event) :]))
    arguments = [flat(v) for v in at_least_float32(x, *parameters.values())]
    if observed is None:
        return jnp.sum(cost(*arguments))
    observed = flat(observed)
    # Blanked before the cost as well as after it: a NaN that only the second mask removed would
    # still be NaN in the gradient.
    wide = lambda v: jnp.reshape(observed, (-1, *(1,) * (v.ndim - 1)))
    entries = cost(*(jnp.where(wide(v), v, jnp.zeros_like(v)) for v in arguments))
    return jnp.sum(jnp.where(observed, entries, jnp.zeros_like(entries)))
