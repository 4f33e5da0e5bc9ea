"""What a run takes from its first batch before it trains: where a codebook starts."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ae_jax import compiler, keys
from ae_jax.data import order
from ae_jax.data.batches import to_batch
from ae_jax.data.intake import take_in
from ae_jax.data.source import Subset, in_memory, readable
from ae_jax.training.plan import Plan
from ae_jax.training.state import TrainState
from ae_jax.types import Variables

Start = Callable[..., Variables]


def starting(plan: Plan) -> Start:
    """How a bottleneck starts at a batch: `(variables, records, index, root) -> variables`."""

    def start(variables, records, index, root):
        draws = keys.for_preprocessing(root, 0, index, index)
        batch = to_batch(records, index, plan.preprocessing, draws, train=True)
        return plan.model.started(variables, batch, keys.stream(root, "state"))

    return start


def started(plan: Plan, state: TrainState, root: Any, start: Start | None = None) -> TrainState:
    """The state with its bottleneck started at the features of the batch of step 0.

    The whole batch is computed in one place, in every process the same, so that the start does not
    depend on the number of devices. Examples are not corrupted, and networks are as in evaluation.

    Args:
      plan: of the run.
      state: before its first step.
      root: the run's key.
      start: `starting(plan)`, compiled; None: it is compiled here.

    Returns:
      A TrainState; the same where the bottleneck has no use for a batch.

    Raises:
      ConfigError: the bottleneck needs more features than the batch has.
    """
    if plan.model.bottleneck.start is None:
        return state
    size = len(plan.dataset.train)
    places = np.arange(min(plan.config.training.batch_size, size), dtype=np.uint32)
    index = order.order(order.order_seed(root), 0, places, size, xp=np)
    chosen = Subset(plan.dataset.train, index.astype(np.int64))
    records = readable(in_memory(take_in(chosen, plan.preprocessing.host)).records)
    if not len(records.x):
        return state  # none of the batch could be read: as if there were no start
    begin: Start = compiler.jit(starting(plan)) if start is None else start
    numbers = np.arange(len(records.x), dtype=np.uint32)
    variables = begin(state.variables, records, numbers, root)
    average = jax.tree.map(np.array, variables.params) if state.average else {}
    return state._replace(variables=variables, average=average)
