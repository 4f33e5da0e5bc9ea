"""Distances between two sets of samples: the maximum mean discrepancy."""

import numbers
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_shapes
from ae_jax.errors import ConfigError, ShapeError, UnknownNameError, nearest
from ae_jax.losses import _rows
from ae_jax.losses._precision import at_least_float32

# The scales of the Wasserstein autoencoder (Tolstikhin et al. 2018).
BANDWIDTHS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

Kernel = Callable[[jax.Array, jax.Array], jax.Array]


def _inverse_multiquadratic(squared_distance: jax.Array, scale: jax.Array) -> jax.Array:
    return scale / (scale + squared_distance)


def _radial_basis_function(squared_distance: jax.Array, scale: jax.Array) -> jax.Array:
    return jnp.exp(-squared_distance / scale)


KERNELS: dict[str, Kernel] = {
    "imq": _inverse_multiquadratic,
    "rbf": _radial_basis_function,
}


def _gram(x: jax.Array, y: jax.Array, kernel: Kernel, bandwidths: Sequence[float]) -> jax.Array:
    """The kernel between all rows of x and y, `[n, m]`, summed over the bandwidths."""
    # Not |x|² + |y|² − 2xy, which cancels for samples far from the origin and, as a matrix product,
    # is rounded to TF32 on some devices; compilers fuse the differences into the sum.
    squared_distance = jnp.sum(jnp.square(x[:, None] - y[None]), axis=-1)
    scales = 2.0 * x.shape[-1] * jnp.asarray(bandwidths, x.dtype)
    return jnp.sum(kernel(squared_distance[..., None], scales[None, None]), axis=-1)


def _masked_mean(values: jax.Array, counted: jax.Array) -> jax.Array:
    count = jnp.maximum(jnp.sum(counted, dtype=values.dtype), 1.0)
    return jnp.sum(jnp.where(counted, values, 0.0)) / count


def require_kernel(kernel: str, bandwidths: Sequence[float]) -> None:
    """Raises for a kernel that is none of ours, and for bandwidths that are not all positive."""
    if kernel not in KERNELS:
        raise UnknownNameError(f"no kernel is called '{kernel}'{nearest(kernel, KERNELS)}")
    positive = lambda value: isinstance(value, numbers.Real) and float(value) > 0
    several = isinstance(bandwidths, Sequence) and len(bandwidths) > 0
    if not several or not all(map(positive, bandwidths)):
        raise ConfigError(f"bandwidths must be one or more positive numbers, got {bandwidths!r}")


def mmd(
    x: chex.Array,
    y: chex.Array,
    *,
    kernel: str = "imq",
    bandwidths: Sequence[float] = BANDWIDTHS,
    unbiased: bool = True,
    valid: chex.Array | None = None,
    valid_y: chex.Array | None = None,
) -> jax.Array:
    """Batch-coupled: squared maximum mean discrepancy between two sets of samples.

        MMD²(x, y) = mean k(xᵢ, xᵢ') + mean k(yⱼ, yⱼ') − 2 mean k(xᵢ, yⱼ)

    The U-statistic leaves the pairs i = i' and j = j' out of the means; it is unbiased and may be
    negative. The V-statistic keeps them; it is never negative and biased upwards. The kernel is the
    sum over bandwidths s, with C = 2·d·s, of

        imq: C / (C + ‖x − y‖²)        rbf: exp(−‖x − y‖² / C)

    2·d is the expected squared distance of two standard normal samples, so that s = 1 is the scale
    of a standard normal prior; for a prior of variance σ² multiply the bandwidths by σ².

    Args:
      x: samples, such as codes, `[n, d]`.
      y: samples, such as draws from the prior, `[m, d]`.
      kernel: `"imq"`, the inverse multiquadratic, or `"rbf"`, the Gaussian.
      bandwidths: the scales s, all positive.
      unbiased: the U-statistic if True, the V-statistic if False.
      valid: `bool[n]`, False for rows of x that are padding; None if all count.
      valid_y: the same for y, `bool[m]`.

    Returns:
      A scalar, without unit. With the U-statistic and fewer than two valid rows in a set, the mean
      over the pairs of that set is 0.

    Raises:
      UnknownNameError: for an unknown kernel.
      ConfigError: if there are no bandwidths or one is not positive.
      ShapeError: for wrong shapes, or fewer than two rows for the U-statistic.

    References:
      Gretton et al., "A kernel two-sample test", 2012; Tolstikhin et al., "Wasserstein
      auto-encoders", 2018.

    >>> bool(mmd(jnp.zeros((4, 2)), jnp.zeros((4, 2))) == 0.0)
    True
    """
    require_kernel(kernel, bandwidths)
    require_shapes(x=(x, "n d"), y=(y, "m d"))
    x, y = at_least_float32(x, y)
    n, m = x.shape[0], y.shape[0]
    if unbiased and min(n, m) < 2:
        raise ShapeError(f"the unbiased estimate needs 2 rows or more in x and y, got {n} and {m}")

    rows, columns = _rows.counted_rows(valid, n), _rows.counted_rows(valid_y, m, "valid_y")
    x, y = _rows.blank_padding(x, rows), _rows.blank_padding(y, columns)
    similarity = KERNELS[kernel]

    def within(samples: jax.Array, counted: jax.Array) -> jax.Array:
        pairs = counted[:, None] & counted[None]
        if unbiased:
            pairs &= ~jnp.eye(counted.size, dtype=bool)
        return _masked_mean(_gram(samples, samples, similarity, bandwidths), pairs)

    between = _masked_mean(_gram(x, y, similarity, bandwidths), rows[:, None] & columns[None])
    return within(x, rows) + within(y, columns) - 2.0 * between
