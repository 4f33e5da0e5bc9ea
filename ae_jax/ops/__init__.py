"""Operations in the form that each platform computes fastest; imports nothing of ae_jax."""

from ae_jax.ops import attention, codebook, convolution, dense, kernels, random

__all__ = ["attention", "codebook", "convolution", "dense", "kernels", "random"]
