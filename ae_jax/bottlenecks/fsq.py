"""Finite scalar quantisation: every dimension rounded to a few levels."""

import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._lattice import Lattice, on_lattice, require_numbered
from ae_jax.bottlenecks._shapes import latent_shape
from ae_jax.distributions import Quantized
from ae_jax.errors import ConfigError
from ae_jax.types import Bottleneck

SLACK = 1e-3  # the share by which the bounds lie beyond the outermost levels


@BOTTLENECKS.register
def fsq(
    latent_dim: int | tuple[int, ...], levels: int | tuple[int, ...] = (8, 5, 5, 5)
) -> Bottleneck:
    """Each dimension i bounded by tanh and rounded to one of L_i levels (Mentzer et al. 2023).

    With h = ½ (L − 1)(1 + 10⁻³), o = ½ for even L and 0 for odd, and s = atanh(o / h),

        z = round(h tanh(z_e + s) − o) / ⌊L / 2⌋

    whose gradient passes straight through the rounding. The levels are the whole numbers from
    −(L − 1) / 2 to (L − 1) / 2 for odd L, from −L / 2 to L / 2 − 1 for even L, over ⌊L / 2⌋. There
    is no codebook to learn, so no term to add: the number of a code is Σ_i digit_i Π_{j<i} L_j. All
    mass of the posterior is on that code and the prior is uniform over the lattice.

    Args:
      latent_dim: shape `(*positions, d)` of z, or d alone for one position; the encoder must
        emit the same.
      levels: number L_i of levels, 2 or more, for each of the d dimensions; one number for all.
        The paper advises (8, 6, 5) for 2⁸ codes, (8, 5, 5, 5) for 2¹⁰, (7, 5, 5, 5, 5) for 2¹²,
        (8, 8, 8, 6, 5) for 2¹⁴, (8, 8, 8, 5, 5, 5) for 2¹⁶.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: fewer than two levels, not one number of them a dimension, or more codes than
        int32 can number.

    References:
      Mentzer et al., "Finite scalar quantization: VQ-VAE made simple", 2023.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> bottleneck = ae.bottlenecks.fsq(2, levels=(3, 4))
      >>> bottleneck.posterior({}, {}, jnp.array([9.0, -9.0])).value.tolist()
      [1.0, -1.0]
    """
    shape = latent_shape(latent_dim)
    counts = _levels(levels, shape[-1])
    size = np.array(counts)
    half = size // 2
    lattice = Lattice(counts, tuple(half.tolist()), tuple(half.tolist()))
    require_numbered(lattice)
    reach, offset = (size - 1) * (1 + SLACK) / 2, np.where(size % 2 == 0, 0.5, 0.0)
    reach, offset, shift = map(np.float32, (reach, offset, np.arctanh(offset / reach)))

    def posterior(features):
        bounded = reach * jnp.tanh(features.astype(jnp.float32) + shift) - offset
        digits = jnp.clip(jnp.round(bounded) + half, 0, size - 1)
        codes = lattice.codes(digits)
        scaled = bounded / np.float32(half)
        value = losses.straight_through(scaled, codes)
        return Quantized(value, scaled, codes, lattice.number(digits))

    return on_lattice(shape, lattice, posterior)


def _levels(levels: int | tuple[int, ...], dimension: int) -> tuple[int, ...]:
    counts = tuple(levels) if isinstance(levels, list | tuple) else (levels,) * dimension
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, int) or count < 2:
            raise ConfigError(f"levels must be whole numbers of at least 2, got {levels!r}")
    if len(counts) != dimension:
        raise ConfigError(
            f"levels must hold one number for each of the {dimension} dimensions of a code, got "
            f"{len(counts)}: {levels!r}; one number alone goes for all"
        )
    return counts
