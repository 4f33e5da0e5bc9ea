"""Multilayer perceptrons for any event shape."""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from ae_jax.errors import ConfigError, nearest, require_positive_ints
from ae_jax.networks.adapters import from_linen
from ae_jax.registry import NETWORKS, import_object
from ae_jax.types import Array, Network, Shape

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

    Raises:
      ConfigError: the name is unknown.
    """
    if callable(activation):
        return activation
    if activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if isinstance(activation, str) and ":" in activation:
        return import_object(activation)
    raise ConfigError(f"no activation is called '{activation}'{nearest(activation, ACTIVATIONS)}")


class MLP(nn.Module):
    """Flattens, applies dense layers, reshapes; sows each hidden layer as `hidden_N`."""

    hidden: Sequence[int]
    output_shape: Shape
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[*event]` to `[*output_shape]`."""
        x = jnp.ravel(x)
        for i, width in enumerate(self.hidden):
            x = self.activation(nn.Dense(width, name=f"dense_{i}")(x))
            self.sow("intermediates", f"hidden_{i}", x)
        y = nn.Dense(math.prod(self.output_shape), name="output")(x)
        return y.reshape(self.output_shape)


@NETWORKS.register
def mlp(
    hidden: Sequence[int] = (512,), activation: str | Callable[[Array], Array] = "relu"
) -> Network:
    """Dense layers with an activation between them, for any input and output shape.

    Weights start as LeCun normal, biases at zero. Activations: `hidden_0`, `hidden_1`, ….

    Args:
      hidden: the width of each hidden layer; the decoder of a symmetric model reverses it.
      activation: a name (`relu`, `tanh`, `sigmoid`, …), "module:function", or a function.

    Returns:
      A Network.

    Raises:
      ConfigError: a width that is not a positive whole number, or an unknown activation.
    """
    if not isinstance(hidden, list | tuple):
        raise ConfigError(f"hidden must be the widths of the hidden layers, got {hidden!r}")
    for width in hidden:
        require_positive_ints(hidden=width)
    module = functools.partial(
        MLP, hidden=tuple(hidden), activation=activation_function(activation)
    )
    return Network(lambda output_shape: from_linen(module(output_shape=tuple(output_shape))))


@NETWORKS.register
def linear() -> Network:
    """One dense layer and no activation.

    With squared error on both sides its optimum spans the principal components (Baldi & Hornik
    1989).
    """
    return mlp(hidden=())
