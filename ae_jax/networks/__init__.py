"""Networks behind `Coder`: built-ins that adapt to any shape, and adapters for the user's own."""

from ae_jax.networks.adapters import from_linen
from ae_jax.networks.mlp import linear, mlp
from ae_jax.networks.nnx_adapter import from_nnx

__all__ = ["from_linen", "from_nnx", "linear", "mlp"]
