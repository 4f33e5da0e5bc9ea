"""Multilayer perceptrons for any event shape."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS, import_object
from ae_jax.errors import ConfigError, nearest, require_positive_ints
from ae_jax.networks import _layers
from ae_jax.networks._dense import Dense
from ae_jax.networks.adapters import from_linen
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
    normalisation: str | None = None
    dropout: float = 0.0
    dtype: Any = None
    condition: str | None = None
    num_classes: int | None = None

    @nn.compact
    def __call__(
        self,
        x: Array,
        extras: Mapping[str, Array] | None = None,
        train: bool = False,
        active: Array | None = None,
    ) -> Array:
        """`[*event]` to `[*output_shape]`; all of x is 0 but for the places `active`, if given."""
        x = _layers.floating(jnp.ravel(x))
        active = active if self.condition is None else None
        x = _layers.append_condition(x, extras, self.condition, self.num_classes)
        for i, width in enumerate(self.hidden):
            x = Dense(width, self.dtype, name=f"dense_{i}")(x, active)
            active = None  # what follows reads all of its input
            x = _layers.normalise(
                x, self.normalisation, name=f"norm_{i}", dtype=self.dtype, train=train
            )
            x = self.activation(x)
            self.sow("intermediates", f"hidden_{i}", x)
            if self.dropout:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
        y = Dense(math.prod(self.output_shape), self.dtype, name="output")(x, active)
        return _layers.at_full_precision(y.reshape(self.output_shape))


@NETWORKS.register
def mlp(
    hidden: Sequence[int] = (512,),
    activation: str | Callable[[Array], Array] = "relu",
    normalisation: str | None = None,
    dropout: float = 0.0,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """Dense layers with an activation between them, for any input and output shape.

    Weights start as LeCun normal, biases at zero. Activations: `hidden_0`, `hidden_1`, …, before
    dropout.

    Args:
      hidden: the width of each hidden layer; the decoder of a symmetric model reverses it.
      activation: a name (`relu`, `tanh`, `sigmoid`, …), "module:function", or a function.
      normalisation: before each activation: None, "batch" (Ioffe & Szegedy 2015), "group" or
        "layer" (Ba et al. 2016).
      dropout: the rate after each activation.
      dtype: computed in, e.g. "bfloat16"; parameters and output are float32. None: float32.
      condition: the entry of `extras` that is appended to the input: to x in an encoder, to z in a
        decoder.
      num_classes: if that is a label, how many there are; it enters one-hot. Labels are 0 …
        num_classes - 1, or -1 for none, which enters as zeros.

    Returns:
      A Network.

    Raises:
      ConfigError: a width that is not a positive whole number, an unknown activation or another
        option out of range; when initialised or applied, a condition that `extras` lacks.
    """
    module = functools.partial(MLP, **mlp_options(**locals()))
    return Network(lambda output_shape: from_linen(module(output_shape=tuple(output_shape))))


def mlp_options(
    hidden: Any,
    activation: Any,
    normalisation: Any,
    dropout: Any,
    dtype: Any,
    condition: Any,
    num_classes: Any,
) -> dict[str, Any]:
    """The fields of an `MLP`, checked."""
    if not isinstance(hidden, list | tuple):
        raise ConfigError(f"hidden must be the widths of the hidden layers, got {hidden!r}")
    for width in hidden:
        require_positive_ints(hidden=width)
    _layers.require_normalisation(normalisation)
    _layers.require_rate(dropout=dropout)
    _layers.require_dtype(dtype)
    _layers.require_condition(condition, num_classes)
    return {
        "hidden": tuple(hidden),
        "activation": activation_function(activation),
        "normalisation": normalisation,
        "dropout": dropout,
        "dtype": dtype,
        "condition": condition,
        "num_classes": num_classes,
    }


@NETWORKS.register
def linear() -> Network:
    """One dense layer and no activation.

    With squared error on both sides its optimum spans the principal components (Baldi & Hornik
    1989).
    """
    return mlp(hidden=())
