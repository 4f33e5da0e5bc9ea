"""Names of arrays, trees and axes."""

from typing import Any

import chex
import jax

Array = jax.Array
Tree = Any  # a pytree of arrays
PRNGKey = chex.PRNGKey
Shape = tuple[int, ...]
BATCH_AXIS = "batch"
"""The name of the axis of examples where networks are mapped over a batch."""
DEVICE_AXIS = "devices"
"""The name of the axis of devices where a step is mapped over them."""
ENTRIES = "entries"
"""The activation by which a decoder tells what `draw` made up."""
