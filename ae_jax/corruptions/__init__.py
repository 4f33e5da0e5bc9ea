"""Corruptions: what the encoder sees in place of x, for denoising and masked autoencoders.

A corruption is a pure function of one example of any event shape,

    (key, x, observed) -> (x̃, info)

`observed` is None or a bool array of the shape of x; entries that are not observed stay as they
are. x̃ has the shape and dtype of x. `info` is a dict: corruptions that replace entries put `"mask"`
in it, a bool array of the shape of x, **True where the entry was replaced**, False where x was
kept, and so False where not observed. Rates are probabilities an entry, in [0, 1].

Gaussian, masking and salt-and-pepper noise: Vincent et al., "Stacked denoising autoencoders", 2010.
"""

from ae_jax.corruptions._entries import Corruption as Corruption
from ae_jax.corruptions.masking import (
    block_masking,
    masking,
    patch_block_masking,
    patch_masking,
    salt_and_pepper,
)
from ae_jax.corruptions.noise import gaussian, multiplicative, none, uniform
from ae_jax.corruptions.tokens import token_masking, token_swapping

__all__ = [
    "block_masking",
    "gaussian",
    "masking",
    "multiplicative",
    "none",
    "patch_block_masking",
    "patch_masking",
    "salt_and_pepper",
    "token_masking",
    "token_swapping",
    "uniform",
]
