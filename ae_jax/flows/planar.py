"""Planar flows: the space bent along one direction at a plane."""

import jax
import jax.numpy as jnp

from ae_jax._registry import FLOWS
from ae_jax.checks import require_positive_ints
from ae_jax.flows.chain import chain
from ae_jax.types import Array, Flow, Tree

HALVINGS = 40
"""Of the bracket of one number: to the last bit of float32."""


@FLOWS.register
def planar(layers: int = 8) -> Flow:
    """Y = x + u tanh(w·x + b), with u, w, b of the context where there is one.

    U is kept where the map is invertible (Rezende & Mohamed 2015, appendix A.1). The inverse is
    found by bisection of w·x, the one number that it depends on.

    Args:
      layers: how many.

    Example:
      >>> import ae_jax as ae, jax, jax.numpy as jnp
      >>> flow = ae.flows.planar(layers=2)
      >>> params = flow.init(jax.random.key(0), 2, 0)
      >>> y, log_det = flow.forward(params, jnp.array([1.0, 2.0]), None)
      >>> flow.inverse(params, y, None)[0].round(4).tolist()
      [1.0, 2.0]
    """
    require_positive_ints(layers=layers)
    return chain([Flow(_init, _forward, _inverse)] * layers)


def _init(key, size: int, context: int = 0) -> Tree:
    towards, across = jax.random.split(key)
    params = {
        "towards": 0.1 * jax.random.normal(towards, (size,)),
        "across": jax.random.normal(across, (size,)) / jnp.sqrt(size),
        "offset": jnp.zeros(()),
    }
    if context:
        params["context"] = jnp.zeros((context, 2 * size + 1))
    return params


def _plane(params: Tree, context: Array | None) -> tuple[Array, Array, Array, Array]:
    """U, w, b and w·u ≥ -1."""
    towards, across, offset = params["towards"], params["across"], params["offset"]
    if "context" in params:
        size = towards.shape[0]
        told = jnp.asarray(context) @ params["context"]
        towards, across = towards + told[:size], across + told[size:-1]
        offset = offset + told[-1]
    along = jnp.dot(across, towards)
    kept = jax.nn.softplus(along) - 1
    length = jnp.sum(jnp.square(across)) + 1e-12
    towards = towards + (kept - along) * across / length
    return towards, across, offset, jnp.dot(across, towards)


def _forward(params: Tree, x: Array, context: Array | None = None) -> tuple[Array, Array]:
    towards, across, offset, along = _plane(params, context)
    bent = jnp.tanh(jnp.dot(across, x) + offset)
    return x + towards * bent, jnp.log1p(along * (1 - jnp.square(bent)))


def _inverse(params: Tree, y: Array, context: Array | None = None) -> tuple[Array, Array]:
    towards, across, offset, along = _plane(params, context)
    target = jnp.dot(across, y)
    excess = lambda level: level + along * jnp.tanh(level + offset) - target

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        above = excess(middle) > 0
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    ends = jax.lax.stop_gradient((target - jnp.abs(along), target + jnp.abs(along)))
    low, high = jax.lax.fori_loop(0, HALVINGS, halve, ends)
    level = jax.lax.stop_gradient(0.5 * (low + high))
    slope = 1 + along * (1 - jnp.square(jnp.tanh(level + offset)))
    # One step of Newton: nearly nothing to the value, and the derivative of the implicit function.
    level = level - excess(level) / jax.lax.stop_gradient(slope)
    bent = jnp.tanh(level + offset)
    return y - towards * bent, -jnp.log1p(along * (1 - jnp.square(bent)))
