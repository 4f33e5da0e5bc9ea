"""Loader's saddle-point form of count distributions, in which no large terms are left to cancel.

A log-probability is a sum of deviances, which are never negative, and of Stirling errors, which
are small (Loader, "Fast and accurate computation of binomial probabilities", 2000).
"""

import jax
import jax.numpy as jnp

# From here on the asymptotic series below are good to 2e-13; smaller arguments are moved up.
_LARGE = 8.0
_NEAR = 0.25
_LOST = -0.9


def deviance(excess: jax.Array, log_ratio: jax.Array) -> jax.Array:
    """The value of t - log(1 + t) for t > -1, elementwise: t²/2 - t³/3 + … near zero.

    Args:
      excess: t, the ratio of two numbers less one.
      log_ratio: log(1 + t), which is used where t is all but -1 and has lost its digits.
    """
    near, lost = jnp.abs(excess) < _NEAR, excess < _LOST
    t = jnp.where(near, excess, 0.0)
    s = t / (2 + t)  # log(1 + t) = 2 artanh(s)
    square, series = jnp.square(s), jnp.zeros_like(s)
    for power in range(21, 1, -2):
        series = square * (1 / power + series)
    logarithm = jnp.log1p(jnp.where(near | lost, 0.0, excess))
    far = excess - jnp.where(lost, log_ratio, logarithm)
    return jnp.where(near, s * (t - 2 * series), far)


def stirling_error(z: jax.Array) -> jax.Array:
    """What log Γ(z) exceeds (z - ½) log z - z + ½ log 2π by, for z > 0 (DLMF 5.11.1)."""
    small, moved, quotient = _moved_up(z)
    below = (small - 0.5) * jnp.log1p(_LARGE / small) - _LARGE - jnp.log(quotient)
    w = 1 / jnp.square(moved)
    series = (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w / 1188)))) / moved
    return series + jnp.where(z < _LARGE, below, 0.0)


def digamma_error(z: jax.Array) -> jax.Array:
    """What ψ(z) exceeds log z - 1/(2z) by, for z > 0 (DLMF 5.11.2)."""
    small, moved, _ = _moved_up(z)
    reciprocals = sum(1 / (small + k) for k in range(1, int(_LARGE)))
    below = jnp.log1p(_LARGE / small) - 0.5 / (small + _LARGE) - 0.5 / small - reciprocals
    w = 1 / jnp.square(moved)
    series = -w * (1 / 12 - w * (1 / 120 - w * (1 / 252 - w * (1 / 240 - w / 132))))
    return series + jnp.where(z < _LARGE, below, 0.0)


def _moved_up(z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A z below 8 (or 1), the argument of the series, and z (z + 1) … (z + 7) / (z + 8)⁸."""
    below = z < _LARGE
    small = jnp.where(below, z, 1.0)
    moved = jnp.where(below, z + _LARGE, z)
    quotient = jnp.ones_like(z)
    for k in range(int(_LARGE)):
        quotient *= (small + k) / (small + _LARGE)
    return small, moved, quotient
