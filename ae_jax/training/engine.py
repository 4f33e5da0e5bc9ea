"""The compiled programs of a run: many training steps a dispatch, and one pass of evaluation."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import keys as keys_lib
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.resident import Resident, gather, shuffled_index
from ae_jax.evaluation.metrics import evaluation_metrics
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.training.parallel import Strategy
from ae_jax.training.step import make_step
from ae_jax.types import Array, Context, Player


def position(examples_seen: int, size: int, steps: int, fresh: bool) -> np.ndarray:
    """The one small upload of a dispatch: where in the data it starts and how far it goes.

    Args:
      examples_seen: since the start of the run; any Python int.
      size: of the training set.
      steps: how many to take.
      fresh: whether metric totals restart from zero.

    Returns:
      uint32 `[4]`: epoch, offset in it, steps, fresh.
    """
    epoch, offset = divmod(examples_seen, size)
    return np.array([epoch % 2**32, offset, steps, fresh], np.uint32)


def train_program(
    model: Autoencoder,
    players: Sequence[Player],
    preprocessing: Preprocessing,
    strategy: Strategy,
    batch_size: int,
    size: int,
) -> Callable[..., Any]:
    """Compiles up to any number of steps into one dispatch.

    Args:
      model: the Autoencoder.
      players: of the game.
      preprocessing: from the data's units.
      strategy: over which devices.
      batch_size: of the global batch.
      size: of the training set.

    Returns:
      `run(state, totals, data, order_seed, position) -> (state, totals)`, which donates state and
      totals. Totals, a float32 scalar for each of `metric_names(players)`, are sums over the steps
      that were not skipped; their "skipped" counts those that were.
    """
    step = make_step(model, players, size)
    share = batch_size // len(strategy.devices)

    def one_step(device, state, data, order_seed, epoch, offset):
        places = device * jnp.uint32(share) + jnp.arange(share, dtype=jnp.uint32)
        index = shuffled_index(order_seed, epoch, offset, places, size)
        batch = gather(data, index, preprocessing)
        return step(state, batch, places, strategy.across)

    def per_shard(device, state, totals, data, order_seed, where):
        epoch, offset, steps, fresh = where
        totals = jax.tree.map(lambda t: jnp.where(fresh == 1, 0, t), totals)

        def body(i, carry):
            state, totals = carry
            start = offset + i.astype(jnp.uint32) * jnp.uint32(batch_size)
            state, metrics = one_step(device, state, data, order_seed, epoch, start)
            skipped = metrics["skipped"]
            add = lambda total, value: total + jnp.where(skipped > 0, 0, value)
            summed = jax.tree.map(add, totals, metrics)
            return state, summed | {"skipped": totals["skipped"] + skipped}

        return jax.lax.fori_loop(0, steps.astype(jnp.int32), body, (state, totals))

    return strategy.compile("train", per_shard, donate=(0, 1))


def evaluation_program(
    model: Autoencoder,
    objective: Objective,
    preprocessing: Preprocessing,
    strategy: Strategy,
    batch_size: int,
    num_train: int,
) -> Callable[..., dict[str, Array]]:
    """Compiles one pass over a split, every example exactly once on any number of devices.

    Args:
      model: the Autoencoder.
      objective: whose terms are reported.
      preprocessing: from the data's units.
      strategy: over which devices.
      batch_size: of the global batch; the devices divide it.
      num_train: the size of the training set, for terms that need it.

    Returns:
      `run(variables, root, step, data) -> metrics`, means over the split: those of the objective
      and of `ae_jax.evaluation.metrics`. Noise is drawn from the evaluation stream by each
      example's place in the split, so that it is the same at every evaluation.
    """
    share = batch_size // len(strategy.devices)

    def one_batch(device, i, variables, root, step, data: Resident):
        places = i * jnp.uint32(batch_size) + device * jnp.uint32(share)
        places = places + jnp.arange(share, dtype=jnp.uint32)
        valid = places < data.size
        batch = gather(data, jnp.minimum(places, data.size - 1), preprocessing, valid)
        keys = keys_lib.for_examples(root, None, places)
        outputs, _ = model.forward(variables, batch, keys, samples=objective.samples)
        context = Context(model, variables, batch, keys, step, num_train, strategy.across)
        metrics = objective(outputs, context)[1]
        extra = evaluation_metrics(outputs, context)
        metrics |= {name: context.share(value) for name, value in extra.items()}
        count = jnp.sum(valid, dtype=jnp.float32)
        return strategy.across.mean(metrics), strategy.across.sum(count)

    def per_shard(device, variables, root, step, data: Resident):
        one = lambda i: one_batch(device, i, variables, root, step, data)
        batches = jnp.arange(-(-data.size // batch_size), dtype=jnp.uint32)
        metrics, counts = jax.lax.map(one, batches)
        return jax.tree.map(lambda m: jnp.sum(m * counts) / data.size, metrics)

    return strategy.compile("evaluate", per_shard)
