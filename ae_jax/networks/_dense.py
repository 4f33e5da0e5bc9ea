"""The dense layer: Flax's, in the forms of `ae_jax.ops.dense`."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from ae_jax.ops.dense import add_bias, multiply
from ae_jax.types import Array


class Dense(nn.Module):
    """x W + b, with the parameters and initial values of Flax's `nn.Dense`.

    Attributes:
      features: how many numbers it emits.
      dtype: computed in; None: x's and the parameters'.
      kernel_init: of W.
    """

    features: int
    dtype: Any = None
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array, active: Array | None = None) -> Array:
        """`[…, c]` to `[…, features]`; `[c]` may be 0 but for the places `active`."""
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), shape[1:])
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return add_bias(multiply(x, kernel, active), bias)
