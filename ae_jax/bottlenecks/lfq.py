"""Lookup-free quantisation: the signs of the features, free or on the sphere."""

import math

import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._codebook import unit
from ae_jax.bottlenecks._lattice import Bits, Lattice, on_lattice, require_numbered
from ae_jax.bottlenecks._shapes import latent_shape
from ae_jax.checks import require_positive
from ae_jax.types import Bottleneck, Shape


@BOTTLENECKS.register
def lfq(latent_dim: int | tuple[int, ...], temperature: float = 1.0) -> Bottleneck:
    """Z = sign(z_e) in {−1, 1}^d, 2^d codes a position that no table holds (Yu et al. 2024).

    0 counts as −1; the gradient passes straight through. Bit i of a code's number is whether z_i is
    1. All mass of the posterior is on that code and the prior is uniform. The paper's objective
    adds `ae.terms.code_entropy`, `ae.terms.code_usage` and `ae.terms.commitment`, the first two
    under q(c | z_e) ∝ exp(−‖z_e − c‖² / τ), in which the bits are independent.

    Args:
      latent_dim: shape `(*positions, d)` of z, or d alone for one position, d of 30 at most;
        the encoder emits the same.
      temperature: temperature τ of the soft assignment, above 0.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: a temperature that is not positive, or more codes than int32 can number.

    References:
      Yu et al., "Language model beats diffusion: tokenizer is key to visual generation", 2024.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> code = ae.bottlenecks.lfq(3).posterior({}, {}, jnp.array([0.3, -2.0, 1.0]))
      >>> code.value.tolist(), int(code.numbers)
      ([1.0, -1.0, 1.0], 5)
    """
    return _of_signs(latent_shape(latent_dim), temperature, sphere=False)


@BOTTLENECKS.register
def bsq(latent_dim: int | tuple[int, ...], temperature: float = 0.1) -> Bottleneck:
    """Z = sign(u) / √d with u = z_e / ‖z_e‖: codes and features on the sphere (Zhao et al. 2024).

    As `lfq`, but ‖u − z‖ is bounded, so that no commitment is needed, and q(c | u) ∝
    exp(−‖u − c‖² / τ) is as soft for features of any length.

    Args:
      latent_dim: shape `(*positions, d)` of z, or d alone for one position, d of 30 at most;
        the encoder emits the same.
      temperature: temperature τ of the soft assignment, above 0.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: a temperature that is not positive, or more codes than int32 can number.

    References:
      Zhao, Xiong & Krähenbühl, "Image and video tokenization with binary spherical quantization",
      2024.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> ae.bottlenecks.bsq(4).posterior({}, {}, jnp.array([0.3, -2.0, 1.0, 1.0])).value.tolist()
      [0.5, -0.5, 0.5, 0.5]
    """
    return _of_signs(latent_shape(latent_dim), temperature, sphere=True)


def _of_signs(shape: Shape, temperature: float, sphere: bool) -> Bottleneck:
    require_positive(temperature=temperature)
    bits = shape[-1]
    size = 1 / math.sqrt(bits) if sphere else 1.0
    lattice = Lattice((2,) * bits, (0.5,) * bits, (0.5 / size,) * bits)
    require_numbered(lattice)

    def posterior(features):
        features = unit(features.astype(jnp.float32)) if sphere else features
        upper = features > 0
        codes = lattice.codes(upper)
        value = losses.straight_through(features, codes)
        logits = features * (4 * size / temperature)
        return Bits(value, features, codes, lattice.number(upper), logits)

    return on_lattice(shape, lattice, posterior)
