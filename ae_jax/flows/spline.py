"""Flows that bend each entry by a monotone spline of rational quadratics."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ae_jax._registry import FLOWS
from ae_jax.checks import require_positive, require_positive_ints
from ae_jax.flows._masked import autoregressive, masked
from ae_jax.flows.affine import halves, require_layers
from ae_jax.flows.chain import stacked
from ae_jax.types import Array, Flow

BOUND = 2.0
"""The most that a parameter counts, as a logarithm: no bin is e⁴ times as wide as another."""
UNIT = math.log(math.expm1(1.0))
"""What softplus makes the slope 1 of."""


@FLOWS.register
def rational_quadratic_spline(
    layers: int = 4,
    bins: int = 8,
    bound: float = 5.0,
    coupling: bool = True,
    hidden: Sequence[int] = (64, 64),
) -> Flow:
    """Monotone rational-quadratic splines within ±bound, the identity beyond (Durkan et al. 2019).

    Args:
      layers: how many, the entries reversed in between.
      bins: of each spline.
      bound: the splines' domain, in deviations of the base.
      coupling: whether half of the entries bend the rest, as `realnvp`; if not, each entry those
        after it, as `masked_autoregressive`.
      hidden: sizes of each layer's hidden layers.

    Example:
      >>> import ae_jax as ae, jax, jax.numpy as jnp
      >>> flow = ae.flows.rational_quadratic_spline(layers=1, hidden=(8,))
      >>> y, log_det = flow.forward(flow.init(jax.random.key(0), 2, 0), jnp.array([1.0, 9.0]), None)
      >>> y.tolist()
      [1.0, 9.0]
    """
    require_layers(layers, hidden)
    require_positive_ints(bins=bins)
    require_positive(bound=bound)
    degrees = halves if coupling else autoregressive
    there, back = (
        jax.vmap(lambda value, raw, way=way: _spline(way, value, raw, bins, bound))
        for way in (_rise, _fall)
    )
    return stacked(masked(there, back, 3 * bins - 1, degrees, tuple(hidden)), layers)


def _spline(way, value: Array, raw: Array, bins: int, bound: float) -> tuple[Array, Array]:
    """One value through the spline of 3 bins - 1 raw parameters, or back."""
    raw = BOUND * jnp.tanh(raw / BOUND)
    widths, heights = (_shares(part, bound) for part in jnp.split(raw[: 2 * bins], 2))
    slopes = jax.nn.softplus(UNIT + raw[2 * bins :])
    slopes = jnp.concatenate([jnp.ones(1, raw.dtype), slopes, jnp.ones(1, raw.dtype)])
    left, below = (jnp.cumsum(shares) - shares - bound for shares in (widths, heights))
    starts = left if way is _rise else below
    within = jnp.abs(value) < bound
    inside = jnp.where(within, value, 0)
    bin = jnp.maximum(jnp.sum(inside >= starts) - 1, 0)
    corner = left[bin], below[bin], widths[bin], heights[bin], slopes[bin], slopes[bin + 1]
    moved, log_slope = way(inside, *corner)
    return jnp.where(within, moved, value), jnp.where(within, log_slope, 0)


def _shares(raw: Array, bound: float) -> Array:
    return 2 * bound * jax.nn.softmax(raw)


def _rise(x, left, below, width, height, slope, next_slope):
    """Y and log dy/dx of an x in the bin from (left, below); Durkan et al. 2019, eq. 4 and 5."""
    part, steepness = (x - left) / width, height / width
    bend = slope + next_slope - 2 * steepness
    divisor = steepness + bend * part * (1 - part)
    y = below + height * part * (steepness * part + slope * (1 - part)) / divisor
    return y, _log_slope(part, steepness, slope, next_slope, divisor)


def _fall(y, left, below, width, height, slope, next_slope):
    """X and log dx/dy: the root in [0, 1] of a quadratic, eq. 6 to 8 there."""
    steepness, rise = height / width, y - below
    bend = slope + next_slope - 2 * steepness
    a, b = height * (steepness - slope) + rise * bend, height * slope - rise * bend
    discriminant = jnp.maximum(jnp.square(b) + 4 * a * steepness * rise, 0)
    part = 2 * steepness * rise / (b + jnp.sqrt(discriminant))
    divisor = steepness + bend * part * (1 - part)
    return left + width * part, -_log_slope(part, steepness, slope, next_slope, divisor)


def _log_slope(part, steepness, slope, next_slope, divisor):
    rest = 1 - part
    top = next_slope * jnp.square(part) + 2 * steepness * part * rest + slope * jnp.square(rest)
    return 2 * jnp.log(steepness) + jnp.log(top) - 2 * jnp.log(divisor)
