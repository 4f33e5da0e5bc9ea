"""Latents in levels, between which lies a network of the bottleneck's own."""

from collections.abc import Sequence
from typing import Any

from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._top_down import (
    TopDown,
    hierarchical,
    precision_weighted,
    residual,
    shrinking,
)
from ae_jax.checks import require_positive_ints
from ae_jax.networks.common import Common
from ae_jax.types import Bottleneck, Shape

Levels = Sequence[int | tuple[int, int, int]]


def moments(levels: Levels) -> tuple[Shape, ...]:
    """What `ladder` is told at each level: a mean and a raw log-variance of each number."""
    return tuple((*shape[:-1], 2 * shape[-1]) for shape in shrinking(levels))


def states(levels: Levels, width: int) -> tuple[Shape, ...]:
    """What `top_down` is told at each level: so many numbers at each position."""
    return tuple((*shape[:-1], width) for shape in shrinking(levels))


@BOTTLENECKS.register
def ladder(
    levels: Levels, width: int = 128, depth: int = 2, dtype: str | None = None
) -> Bottleneck:
    """The Ladder VAE's chain of latents (Sønderby et al. 2016): p(z_L) Π p(z_l | z_{l+1}).

    p(z_L) = N(0, I), and each z_l is a Gaussian whose moments a network makes of z_{l+1}. The
    posterior q(z_l | z_{l+1}, x) is the precision-weighted product of that prior and the encoder's
    own Gaussian, at the top the encoder's alone. z is all levels flattened side by side, the
    bottom's first; decoders are given z_1 alone.

    Args:
      levels: sizes of the latents, the bottom's first: numbers that shrink, or (height, width,
        channels) whose height and width are half of those below, rounded up.
      width: width of the layers, or channels of the convolutions, between two levels.
      depth: layers, or residual blocks, between two levels.
      dtype: dtype that the network between the levels computes in, see `ae.networks.Common`.

    Returns:
      A Bottleneck; its encoder emits each level's mean and raw log-variance, see
      `ae.networks.tapped_mlp`.

    Raises:
      ConfigError: fewer than two levels, or levels that do not shrink.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.ladder((16, 8, 4))
      >>> bottleneck.latent_shape, bottleneck.feature_shape
      ((28,), (56,))
    """
    net = _network(levels, width, depth, dtype, merge=precision_weighted, skip=False)
    return hierarchical(net, moments(levels))


@BOTTLENECKS.register
def top_down(
    levels: Levels, width: int = 32, depth: int = 1, dtype: str | None = None
) -> Bottleneck:
    """Latents added to a state that grows from the top down: Π p(z_l | z_{>l}) (Child 2021).

    p(z_L) = N(0, I); each level's prior is made of the state, which holds all levels above. The
    posterior is relative to it, N(μ_p + Δμ, (σ_p Δσ)²), with Δμ and Δσ from the state and the
    encoder's features (Vahdat & Kautz 2020). At first every prior is N(0, I) and Δσ is 1, and Δμ
    tells of x. z is all levels flattened side by side, the bottom's first; decoders are given the
    state below the last.

    Args:
      levels: sizes of the latents, the bottom's first: numbers that shrink, or (height, width,
        channels) whose height and width are half of those below, rounded up.
      width: width of the state, or its channels.
      depth: layers, or residual blocks, between two levels.
      dtype: dtype that the network between the levels computes in, see `ae.networks.Common`.

    Returns:
      A Bottleneck; its encoder emits `width` numbers at each position of each level, see
      `ae.networks.tapped_conv`.

    Raises:
      ConfigError: fewer than two levels, or levels that do not shrink.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.top_down(((14, 14, 1), (7, 7, 2)), width=16)
      >>> bottleneck.latent_shape, bottleneck.feature_shape
      ((294,), (3920,))
    """
    net = _network(levels, width, depth, dtype, merge=residual, skip=True)
    return hierarchical(net, states(levels, width))


def _network(levels: Any, width: int, depth: int, dtype: str | None, **how: Any) -> TopDown:
    require_positive_ints(width=width, depth=depth)
    common = Common(activation="silu", normalisation="group", dtype=dtype)
    return TopDown(shrinking(levels), width, depth, common=common, **how)
