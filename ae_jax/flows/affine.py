"""Flows that shift and scale each entry by functions of others."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ae_jax._registry import FLOWS
from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError
from ae_jax.flows._masked import autoregressive, masked
from ae_jax.flows.chain import inverted, stacked
from ae_jax.types import Array, Flow

BOUND = 3.0
"""The most that a layer scales by, as a logarithm: a factor of 20."""


def _log_scale(raw: Array) -> Array:
    return BOUND * jnp.tanh(raw / BOUND)


def _there(x: Array, parameters: Array) -> tuple[Array, Array]:
    shift, log_scale = parameters[:, 0], _log_scale(parameters[:, 1])
    return x * jnp.exp(log_scale) + shift, log_scale


def _back(y: Array, parameters: Array) -> tuple[Array, Array]:
    shift, log_scale = parameters[:, 0], _log_scale(parameters[:, 1])
    return (y - shift) * jnp.exp(-log_scale), -log_scale


def halves(size: int) -> list[int]:
    """The degrees of a coupling: 0 for the first half of the entries, 1 for the rest.

    Raises:
      ConfigError: there is one entry alone.
    """
    if size < 2:
        raise ConfigError(
            f"a coupling flow splits its vector in two, which size {size} does not allow: take at "
            "least 2 dimensions, or the flow 'planar' or 'masked_autoregressive'"
        )
    return [0] * (size // 2) + [1] * (size - size // 2)


def require_layers(layers: int, hidden: Sequence[int]) -> None:
    """Raises ConfigError unless layers and the sizes of hidden ones are positive whole numbers."""
    require_positive_ints(layers=layers)
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise ConfigError(f"hidden must be a list of sizes such as (64, 64), got {hidden!r}")
    for size in hidden:
        require_positive_ints(hidden=size)


@FLOWS.register
def masked_autoregressive(layers: int = 4, hidden: Sequence[int] = (64, 64)) -> Flow:
    """Y_i = x_i exp(s(y_<i)) + t(y_<i): densities take one pass (Papamakarios et al. 2017).

    Samples take as many passes as there are dimensions. As a prior for codes, or fitted to them.

    Args:
      layers: how many, the entries reversed in between.
      hidden: sizes of each one's hidden layers.

    Example:
      >>> import ae_jax as ae, jax, jax.numpy as jnp
      >>> flow = ae.flows.masked_autoregressive(layers=2, hidden=(8,))
      >>> params = flow.init(jax.random.key(0), 3, 0)
      >>> x, log_det = flow.inverse(params, jnp.array([1.0, 2.0, 3.0]), None)
    """
    require_layers(layers, hidden)
    return stacked(masked(_there, _back, 2, autoregressive, tuple(hidden)), layers)


@FLOWS.register
def inverse_autoregressive(layers: int = 4, hidden: Sequence[int] = (64, 64)) -> Flow:
    """The other way round: samples take one pass, with their density (Kingma et al. 2016).

    Densities of other points take as many passes as there are dimensions. For posteriors.

    Args:
      layers: how many, the entries reversed in between.
      hidden: sizes of each one's hidden layers.

    Example:
      >>> import ae_jax as ae
      >>> flow = ae.flows.inverse_autoregressive(layers=2)
      >>> bottleneck = ae.bottlenecks.flow(8, flow, context=16)
    """
    require_layers(layers, hidden)
    layer: Any = inverted(masked(_there, _back, 2, autoregressive, tuple(hidden)))
    return stacked(layer, layers)


@FLOWS.register
def realnvp(layers: int = 4, hidden: Sequence[int] = (64, 64)) -> Flow:
    """Affine couplings: half of the entries shift and scale the rest (Dinh et al. 2017).

    The halves take turns; the first is scaled and shifted as well, by numbers that are learned.

    Args:
      layers: how many, the entries reversed in between.
      hidden: sizes of each one's hidden layers.

    Example:
      >>> import ae_jax as ae
      >>> prior = ae.priors.flow(ae.flows.realnvp(layers=6))
      >>> bottleneck = ae.bottlenecks.gaussian(8, prior=prior)
    """
    require_layers(layers, hidden)
    return stacked(masked(_there, _back, 2, halves, tuple(hidden)), layers)
