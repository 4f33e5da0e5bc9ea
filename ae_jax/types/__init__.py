"""The core types: what flows through an autoencoder, and the parts that it flows through.

Parts are written for ONE example; only `Autoencoder.forward` vmaps. All containers are pytrees or
tuples of pure functions. A part built by one of our factories carries the `Node` (name and
arguments) that rebuilds it, which is what `config.json` stores.
"""

from ae_jax.types.arrays import BATCH_AXIS, DEVICE_AXIS, ENTRIES, Array, PRNGKey, Shape, Tree
from ae_jax.types.data import Batch, Column, Spec, spec_from_dict, spec_to_dict
from ae_jax.types.parts import (
    Bottleneck,
    Coder,
    Codes,
    Critic,
    Distribution,
    Draw,
    Flow,
    Likelihood,
    Network,
    Node,
    Prior,
    Variables,
)
from ae_jax.types.passes import ALONE, Collectives, Context, Outputs, Player, Told

__all__ = [
    "ALONE",
    "BATCH_AXIS",
    "DEVICE_AXIS",
    "ENTRIES",
    "Array",
    "Batch",
    "Bottleneck",
    "Coder",
    "Codes",
    "Collectives",
    "Column",
    "Context",
    "Critic",
    "Distribution",
    "Draw",
    "Flow",
    "Likelihood",
    "Network",
    "Node",
    "Outputs",
    "PRNGKey",
    "Player",
    "Prior",
    "Shape",
    "Spec",
    "Told",
    "Tree",
    "Variables",
    "spec_from_dict",
    "spec_to_dict",
]
