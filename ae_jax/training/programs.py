"""The compiled programs of a run: many training steps a dispatch, and one pass of evaluation.

Both come in two forms: data resident on the device, and blocks of batches streamed to it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import keys as keys_lib
from ae_jax.data.batches import gather, shuffled_index, to_batch
from ae_jax.data.blocks import Block
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.source import Records
from ae_jax.evaluation.metrics import evaluation_metrics
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.training.averages import averaging
from ae_jax.training.parallel.strategy import Program, Strategy
from ae_jax.training.step import Step, make_step
from ae_jax.types import Array, Context, Player

Read = Callable[..., tuple[Records, Array, Array | None]]


def position(examples_seen: int, size: int, steps: int, fresh: bool) -> np.ndarray:
    """The one small upload of a dispatch: where in the data it starts and how far it goes.

    Args:
      examples_seen: examples trained on before, any Python int.
      size: size of the training set.
      steps: how many to take.
      fresh: whether metric totals restart from zero.

    Returns:
      uint32 `[4]`: epoch, offset in it, steps, fresh.
    """
    epoch, offset = divmod(examples_seen, size)
    return np.array([epoch % 2**32, offset, steps, fresh], np.uint32)


def resident_training(
    model: Autoencoder,
    players: Sequence[Player],
    preprocessing: Preprocessing,
    strategy: Strategy,
    batch_size: int,
    size: int,
    accumulation: int = 1,
    average_decay: float | None = None,
) -> Program:
    """Compiles up to any number of steps into one dispatch, on data that lie on the devices.

    Args:
      model: the Autoencoder.
      players: players of the game.
      preprocessing: from the data's units.
      strategy: over which devices.
      batch_size: size of the global batch.
      size: size of the training set.
      accumulation: microbatches a step; see `make_step`.
      average_decay: decay of the parameters' running average; None: there is none.

    Returns:
      `run(state, totals, (records, order_seed), position) -> (state, totals)`, which donates state
      and totals. Totals, a float32 scalar for each of `metric_names(players)`, are sums over the
      steps that were not skipped; their "skipped" counts those that were.
    """

    def read(data, where, i, places):
        records, order_seed = data
        start = where[1] + i * jnp.uint32(batch_size)
        index = shuffled_index(order_seed, where[0], start, places, size)
        index = strategy.across.whole(index)  # a device's own part would take collectives to draw
        return gather(records, index), index, None

    step = _step(model, players, size, accumulation, average_decay)
    return _training(step, preprocessing, strategy, batch_size, accumulation, read)


def streamed_training(
    model: Autoencoder,
    players: Sequence[Player],
    preprocessing: Preprocessing,
    strategy: Strategy,
    batch_size: int,
    size: int,
    accumulation: int = 1,
    average_decay: float | None = None,
) -> Program:
    """Like `resident_training`, on a Block of batches split over the devices.

    Returns:
      `run(state, totals, block, position)`, whose position is uint32 `[4]`: the first batch of the
      block to take, unused, steps, fresh. With accumulation the block holds microbatches.
    """

    def read(block: Block, where, i, places):
        del places
        step = where[0] + i
        return _batch_of(block, step) if accumulation == 1 else _rows(block, step, accumulation)

    step = _step(model, players, size, accumulation, average_decay)
    return _training(step, preprocessing, strategy, batch_size, accumulation, read, split=(2,))


def _batch_of(block: Block, i: Array) -> Block:
    take = lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i.astype(jnp.int32), keepdims=False)
    return jax.tree.map(take, block)


def _rows(block: Block, i: Array, number: int) -> Block:
    """The i-th group of so many batches."""
    start = i.astype(jnp.int32) * number
    take = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, number)
    return jax.tree.map(take, block)


def _step(
    model: Autoencoder,
    players: Sequence[Player],
    size: int,
    accumulation: int,
    average_decay: float | None,
) -> Step:
    step = make_step(model, players, size, accumulation)
    return step if average_decay is None else averaging(step, average_decay)


def _training(
    step: Step,
    preprocessing: Preprocessing,
    strategy: Strategy,
    batch_size: int,
    accumulation: int,
    read: Read,
    split: tuple[int, ...] = (),
) -> Program:
    micro = batch_size // accumulation
    share = micro // strategy.shares

    def prepared(state, places, records, index, valid):
        draws = keys_lib.for_preprocessing(state.root, state.step, places, index)
        return to_batch(records, index, preprocessing, draws, train=True, valid=valid)

    def one_step(device, state, data, where, i):
        places = device * jnp.uint32(share) + jnp.arange(share, dtype=jnp.uint32)
        prepare, axis = prepared, 0
        if accumulation > 1:
            places += jnp.uint32(micro) * jnp.arange(accumulation, dtype=jnp.uint32)[:, None]
            prepare, axis = jax.vmap(prepared, in_axes=(None, 0, 0, 0, 0)), 1
        batches = strategy.across.spread(read(data, where, i, places), axis)
        return step(state, prepare(state, places, *batches), places, strategy.across)

    def per_shard(device, state, totals, data, where):
        steps, fresh = where[2], where[3]
        totals = jax.tree.map(lambda t: jnp.where(fresh == 1, 0, t), totals)

        def body(i, carry):
            state, totals = carry
            state, metrics = one_step(device, state, data, where, i.astype(jnp.uint32))
            skipped = metrics["skipped"]
            add = lambda total, value: total + jnp.where(skipped > 0, 0, value)
            summed = jax.tree.map(add, totals, metrics)
            return state, summed | {"skipped": totals["skipped"] + skipped}

        return jax.lax.fori_loop(0, steps.astype(jnp.int32), body, (state, totals))

    return strategy.compile("train", per_shard, donate=(0, 1), split=split)


def resident_evaluation(
    model: Autoencoder,
    objective: Objective,
    preprocessing: Preprocessing,
    strategy: Strategy,
    batch_size: int,
    num_train: int,
) -> Program:
    """Compiles one pass over a split, every example exactly once on any number of devices.

    Args:
      model: the Autoencoder.
      objective: objective whose terms are reported.
      preprocessing: from the data's units.
      strategy: over which devices.
      batch_size: size of the global batch; the devices divide it.
      num_train: the size of the training set, for terms that need it.

    Returns:
      `run(variables, root, step, records) -> (sums, count)`: of the metrics of the objective and of
      `ae_jax.evaluation.metrics`, over the valid examples, and how many these are. Noise is drawn
      from the evaluation stream by each example's place in the split, so that it is the same at
      every evaluation.
    """
    one_batch = _evaluated(model, objective, preprocessing, strategy, num_train)
    share = batch_size // strategy.shares

    def per_shard(device, variables, root, step, records: Records):
        size = records.x.shape[0]

        def one(i):
            places = _places(device, i, batch_size, share)
            index = jnp.minimum(places, size - 1)
            block = Block(gather(records, index), index, places < size)
            return one_batch(variables, root, step, block, places)

        sums = jax.lax.map(one, jnp.arange(-(-size // batch_size), dtype=jnp.uint32))
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), sums)

    return strategy.compile("evaluate", per_shard)


def streamed_evaluation(
    model: Autoencoder,
    objective: Objective,
    preprocessing: Preprocessing,
    strategy: Strategy,
    batch_size: int,
    num_train: int,
) -> Program:
    """Like `resident_evaluation`, a Block of batches at a time.

    Returns:
      `run(variables, root, step, first, block) -> (sums, count)`, `first` the number of the block's
      first batch.
    """
    one_batch = _evaluated(model, objective, preprocessing, strategy, num_train)
    share = batch_size // strategy.shares

    def per_shard(device, variables, root, step, first, block: Block):
        def one(i):
            places = _places(device, first + i, batch_size, share)
            return one_batch(variables, root, step, _batch_of(block, i), places)

        sums = jax.lax.map(one, jnp.arange(block.index.shape[0], dtype=jnp.uint32))
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), sums)

    return strategy.compile("evaluate", per_shard, split=(4,))


def _places(device: Array, i: Array, batch_size: int, share: int) -> Array:
    start = i * jnp.uint32(batch_size) + device * jnp.uint32(share)
    return start + jnp.arange(share, dtype=jnp.uint32)


def _evaluated(
    model: Autoencoder,
    objective: Objective,
    preprocessing: Preprocessing,
    strategy: Strategy,
    num_train: int,
) -> Callable[..., tuple[dict[str, Array], Array]]:
    def one_batch(variables, root, step, block: Block, places):
        variables = strategy.across.whole(variables)
        block, places = strategy.across.spread((block, places))
        draws = keys_lib.for_preprocessing(root, None, places, block.index)
        batch = to_batch(block.records, block.index, preprocessing, draws, valid=block.valid)
        keys = keys_lib.for_examples(root, None, places)
        outputs, _ = model.forward(variables, batch, keys, samples=objective.samples)
        context = Context(model, variables, batch, keys, step, num_train, strategy.across)
        metrics = objective(outputs, context)[1]
        extra = evaluation_metrics(outputs, context)
        metrics |= {name: context.share(value) for name, value in extra.items()}
        valid: Any = batch.valid
        count = strategy.across.sum(jnp.sum(valid, dtype=jnp.float32))
        means = strategy.across.mean(metrics)
        return {name: mean * count for name, mean in means.items()}, count

    return one_batch
