"""Networks behind `Coder`: built-ins that adapt to any shape, and adapters for the user's own."""

from ae_jax.networks.adapters import from_linen, from_nnx
from ae_jax.networks.mlp import linear, mlp

__all__ = ["from_linen", "from_nnx", "linear", "mlp"]
