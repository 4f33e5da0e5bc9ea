"""The options that the built-in networks share: documented, checked and applied here alone."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from flax import linen as nn

from ae_jax.checks import require_below_one
from ae_jax.networks import _layers
from ae_jax.networks.activations import activation_function
from ae_jax.types import Array


@dataclasses.dataclass(frozen=True)
class Common:
    """Options that the built-in networks share; a network has those that its signature names.

    Attributes:
      activation: name of the activation (`relu`, `silu`, `tanh`, …), "module:function", or a
        function of arrays.
      normalisation: normalisation before each activation: None, "batch" (Ioffe & Szegedy 2015),
        "group", of at least 4 channels each (Wu & He 2018), or "layer", over the channels of a
        position (Ba et al. 2016).
      dropout: rate in [0, 1) at which numbers are dropped in training (Srivastava et al. 2014).
      remat: whether blocks are computed again in the backward pass, which saves memory and takes
        time.
      dtype: name of the dtype computed in, e.g. "bfloat16"; parameters and output are float32.
        None: float32.
      condition: name of the entry of `extras` that is appended to z in a decoder, and in an encoder
        to what its last dense layer sees (`mlp`: its first).
      num_classes: number of classes of a condition that is a label, which then enters one-hot.
        Labels are 0 … num_classes - 1, or -1 for none, which enters as zeros. None: the condition
        is a vector.

    Raises:
      ConfigError: an activation or dtype that is unknown, or an option out of range.

    Example:
      >>> Common(dropout=0.1, dtype="bfloat16").dropout
      0.1
      >>> Common(dropout=1.0)
      Traceback (most recent call last):
      ae_jax.errors.ConfigError: dropout must lie in [0, 1), got 1.0
    """

    activation: str | Callable[[Array], Array] = "identity"
    normalisation: str | None = None
    dropout: float = 0.0
    remat: bool = False
    dtype: Any = None
    condition: str | None = None
    num_classes: int | None = None

    def __post_init__(self):
        """Checks every option and looks the activation up."""
        _layers.require_normalisation(self.normalisation)
        require_below_one(dropout=self.dropout)
        _layers.require_dtype(self.dtype)
        _layers.require_condition(self.condition, self.num_classes)
        object.__setattr__(self, "activation", activation_function(self.activation))

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Common":
        """The shared ones among the arguments of a factory, as `locals()` has them."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in options.items() if name in names})

    def normalise(self, x: Array, name: str, train: bool) -> Array:
        """X normalised by the module's layer `name`, or as it is."""
        return _layers.normalise(x, self.normalisation, name=name, dtype=self.dtype, train=train)

    def activate(self, x: Array) -> Array:
        """The activation of x."""
        return activation_function(self.activation)(x)

    def drop(self, x: Array, train: bool) -> Array:
        """X with numbers dropped, in training."""
        return nn.Dropout(self.dropout, deterministic=not train)(x) if self.dropout else x

    def with_condition(self, x: Array, extras: Mapping[str, Array] | None) -> Array:
        """X `[…, c]` with the condition appended at every position, or as it is."""
        return _layers.append_condition(x, extras, self.condition, self.num_classes)
