"""Networks behind `Coder`: built-ins that adapt to any shape, and adapters for the user's own."""

from ae_jax.networks.absent import none
from ae_jax.networks.adapters import from_linen, from_nnx
from ae_jax.networks.common import Common
from ae_jax.networks.conv import conv, deconv
from ae_jax.networks.gru import gru, gru_decoder
from ae_jax.networks.mlp import linear, mlp
from ae_jax.networks.resnet import resnet, resnet_decoder
from ae_jax.networks.spectral import spectral
from ae_jax.networks.tabular import tabular
from ae_jax.networks.tapped import tapped_conv, tapped_mlp
from ae_jax.networks.transformer import transformer, transformer_decoder
from ae_jax.networks.vit import vit, vit_decoder

__all__ = [
    "Common",
    "conv",
    "deconv",
    "from_linen",
    "from_nnx",
    "gru",
    "gru_decoder",
    "linear",
    "mlp",
    "none",
    "resnet",
    "resnet_decoder",
    "spectral",
    "tabular",
    "tapped_conv",
    "tapped_mlp",
    "transformer",
    "transformer_decoder",
    "vit",
    "vit_decoder",
]
