"""Multilayer perceptrons for any event shape."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError
from ae_jax.networks import _layers
from ae_jax.networks._dense import Dense
from ae_jax.networks.adapters import from_linen
from ae_jax.networks.common import Common
from ae_jax.types import Array, Network, Shape


class MLP(nn.Module):
    """Flattens, applies dense layers, reshapes; sows each hidden layer as `hidden_N`."""

    hidden: Sequence[int]
    output_shape: Shape
    common: Common = Common()

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
        common = self.common
        active = active if common.condition is None else None
        x = common.with_condition(x, extras)
        for i, width in enumerate(self.hidden):
            x = Dense(width, common.dtype, name=f"dense_{i}")(x, active)
            active = None  # what follows reads all of its input
            x = common.activate(common.normalise(x, f"norm_{i}", train))
            self.sow("intermediates", f"hidden_{i}", x)
            x = common.drop(x, train)
        y = Dense(math.prod(self.output_shape), common.dtype, name="output")(x, active)
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
    """Dense layers with an activation between them, for any shapes (Rumelhart et al. 1986).

    Weights start as LeCun normal, biases at zero. Activations: `hidden_0`, `hidden_1`, …, before
    dropout.

    The condition is appended to the input: to x in an encoder, to z in a decoder.

    Args:
      hidden: widths of the hidden layers; the decoder of a symmetric model reverses them.
      activation: activation by name, or a function, see `Common`.
      normalisation: None, "batch", "group" or "layer", see `Common`.
      dropout: rate of dropout in training, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: a width that is not a positive whole number, an unknown activation or another
        option out of range; when initialised or applied, a condition that `extras` lacks.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.mlp((64, 32)).bind((16,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros((8, 8, 1)))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros((8, 8, 1)))[0].shape
      (16,)
    """
    common = Common.of(locals())
    require_hidden(hidden)
    return Network(lambda shape: from_linen(MLP(tuple(hidden), tuple(shape), common)))


def require_hidden(hidden: Any) -> None:
    """Raises ConfigError unless it is a row of widths, which may be empty."""
    if not isinstance(hidden, list | tuple):
        raise ConfigError(f"hidden must be the widths of the hidden layers, got {hidden!r}")
    for width in hidden:
        require_positive_ints(hidden=width)


@NETWORKS.register
def linear() -> Network:
    """One dense layer and no activation.

    With squared error on both sides its optimum spans the principal components (Baldi & Hornik
    1989).

    Returns:
      A Network.

    Example:
      >>> import ae_jax as ae
      >>> ae.networks.linear().bind((3,)).node is None
      True
    """
    return mlp(hidden=())
