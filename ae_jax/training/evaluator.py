"""One pass over a split that changes nothing: its metrics, means over valid examples."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ae_jax import config as config_lib
from ae_jax.config.sections import Config
from ae_jax.data import blocks as streaming
from ae_jax.data.intake import Affine, take_in
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.source import Source, in_memory
from ae_jax.errors import DataError
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.training import programs as engine
from ae_jax.training.feeds import Ahead, shares_of
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.strategy import Program, Strategy
from ae_jax.types import Variables


def evaluation_program(
    parts: tuple[Autoencoder, Objective, Preprocessing],
    config: Config,
    num_train: int,
    strategy: Strategy,
    engine_name: str,
) -> Program:
    """What an `evaluator` runs on any split of a data set, compiled once for each size.

    Args:
      parts: model, objective and preprocessing.
      config: complete config.
      num_train: the size of the training set, for terms that need it.
      strategy: strategy of its devices.
      engine_name: a key of `ENGINES`.
    """
    streamed = engine_name == "streaming"
    make = engine.streamed_evaluation if streamed else engine.resident_evaluation
    return make(*parts, strategy, config_lib.evaluation_batch_size(config), num_train)


def evaluator(
    program: Program,
    config: Config,
    strategy: Strategy,
    source: Source,
    engine_name: str,
    host: Affine | None,
) -> Callable[[Variables, Any, Any], dict[str, float]]:
    """One pass over a split.

    Args:
      program: an `evaluation_program` of the same config, strategy and engine.
      config: complete config.
      strategy: strategy of its devices.
      source: the split.
      engine_name: a key of `ENGINES`.
      host: what is done to it before it goes to the devices; see `Preprocessing.host`.

    Returns:
      `(variables, root, step) -> metrics`, of placed arguments; means over valid examples.
    """
    make = _streamed_pass if engine_name == "streaming" else _resident_pass
    one_pass = make(program, config, strategy, take_in(source, host))

    def evaluate(variables, root, step):
        sums, count = one_pass(variables, root, step)
        if not count:
            raise DataError("no example of the split could be read")
        return {name: float(value / count) for name, value in sums.items()}

    return evaluate


def _resident_pass(program: Program, config: Any, strategy: Strategy, source: Source) -> Callable:
    del config
    data = strategy.place(in_memory(source).records)

    def one_pass(*arguments):
        with jax.transfer_guard_host_to_device("disallow"):
            sums = program(*arguments, data)
        return parallel.fetch(sums)

    return one_pass


def _streamed_pass(program: Program, config: Any, strategy: Strategy, source: Source) -> Callable:
    batch_size = config_lib.evaluation_batch_size(config)
    batches, workers = -(-len(source) // batch_size), config.data.workers
    steps = streaming.block_steps(source, batch_size, batches)
    blocks = streaming.Blocks(
        source,
        streaming.sequential(len(source), batch_size),
        shares_of(strategy, batch_size),
        steps,
        -(-batches // steps),
    )

    def one_pass(*arguments):
        sums = []
        for i, (block, _) in enumerate(Ahead(streaming.iterate(blocks, workers), strategy)):
            first = strategy.place(np.uint32(i * steps))
            sums.append(program(*arguments, first, block))
        return jax.tree.map(lambda *leaves: sum(leaves), *map(parallel.fetch, sums))

    return one_pass
