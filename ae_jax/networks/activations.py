"""Activations by name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ae_jax._registry import import_object
from ae_jax.errors import ConfigError, nearest
from ae_jax.types import Array

ACTIVATIONS = {
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "identity": lambda x: x,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


def activation_function(activation: str | Callable[[Array], Array]) -> Callable[[Array], Array]:
    """An activation by name, by "module:function", or as it is.

    Args:
      activation: name in `ACTIVATIONS`, "module:function", or function of arrays.

    Returns:
      A function of arrays.

    Raises:
      ConfigError: the name is unknown.

    Example:
      >>> float(activation_function("relu")(-1.0))
      0.0
    """
    if callable(activation):
        return activation
    if activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if isinstance(activation, str) and ":" in activation:
        return import_object(activation)
    raise ConfigError(f"no activation is called '{activation}'{nearest(activation, ACTIVATIONS)}")
