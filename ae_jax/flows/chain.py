"""Flows made of flows: one after another, the other way round, and in the other order."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import FLOWS
from ae_jax.checks import require_positive_ints
from ae_jax.errors import PartError
from ae_jax.types import Flow


@FLOWS.register
def chain(flows: Sequence[Any]) -> Flow:
    """Flows applied one after another, the first to the base; log-determinants add up.

    Args:
      flows: Flows, names or config nodes.

    Returns:
      A Flow whose parameters are a dict of theirs, "000", "001", ….

    Raises:
      PartError: there are none.

    Example:
      >>> import ae_jax as ae, jax, jax.numpy as jnp
      >>> flow = ae.flows.chain([ae.flows.realnvp(layers=1), "reverse"])
      >>> y, log_det = flow.forward(flow.init(jax.random.key(0), 2, 0), jnp.array([1.0, 2.0]), None)
      >>> y.tolist()
      [2.0, 1.0]
    """
    if isinstance(flows, str) or not isinstance(flows, Sequence) or not flows:
        raise PartError(f"flows must be a list of at least one flow, got {flows!r}")
    parts = tuple(FLOWS.build(flow) for flow in flows)
    names = [f"{number:03d}" for number in range(len(parts))]

    def init(key, size, context=0):
        keys = jax.random.split(key, len(parts))
        each = zip(names, parts, keys, strict=True)
        drawn = {name: flow.init(own, size, context) for name, flow, own in each}
        return {name: params for name, params in drawn.items() if jax.tree.leaves(params)}

    def run(params, x, context, way, order):
        total = jnp.zeros((), x.dtype)
        for number in order:
            x, log_det = getattr(parts[number], way)(params.get(names[number], {}), x, context)
            total = total + log_det
        return x, total

    there = range(len(parts))
    return Flow(
        init,
        lambda params, x, context=None: run(params, x, context, "forward", there),
        lambda params, y, context=None: run(params, y, context, "inverse", reversed(there)),
    )


@FLOWS.register
def reverse() -> Flow:
    """The entries in reversed order: between flows that treat them by their place."""
    turn = lambda params, x, context=None: (x[::-1], jnp.zeros((), x.dtype))
    return Flow(lambda key, size, context=0: {}, turn, turn)


@FLOWS.register
def inverted(flow: Any) -> Flow:
    """A flow the other way round, as inverse autoregressive flows are masked autoregressive ones.

    Args:
      flow: a Flow, name or config node.

    Example:
      >>> import ae_jax as ae, jax, jax.numpy as jnp
      >>> flow = ae.flows.inverted("planar")
      >>> params = flow.init(jax.random.key(0), 2, 0)
      >>> y, log_det = flow.forward(params, jnp.array([1.0, 2.0]), None)
    """
    flow = FLOWS.build(flow)
    return Flow(flow.init, flow.inverse, flow.forward)


def stacked(flow: Flow, layers: int) -> Flow:
    """So many of one flow, each with parameters of its own, with the entries reversed in between.

    Args:
      flow: of one layer.
      layers: how many.

    Raises:
      ConfigError: layers is not a positive whole number.
    """
    require_positive_ints(layers=layers)
    return chain([flow, *[reverse(), flow] * (layers - 1)])
