"""How batches reach the compiled programs: from the device itself, or streamed to it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ae_jax.data import blocks as streaming
from ae_jax.data import order
from ae_jax.data.intake import take_in
from ae_jax.data.source import Source, in_memory, nbytes
from ae_jax.errors import ConfigError, nearest
from ae_jax.training import programs as engine
from ae_jax.training.parallel.strategy import Strategy
from ae_jax.training.plan import Plan
from ae_jax.types import Tree

UNLIMITED = 2**31 - 1


class Resident:
    """Training data that lie on the device: nothing to wait for."""

    waited = 0.0

    def __init__(self, plan: Plan, strategy: Strategy, root: Any, examples_seen: int, steps: int):
        """Uploads the training split.

        Args:
          plan: the run.
          strategy: strategy of its devices.
          root: the run's key.
          examples_seen: up to here.
          steps: still to take.
        """
        del steps
        train, self.batch_size = (
            in_memory(take_in(plan.dataset.train, plan.preprocessing.host)),
            plan.config.training.batch_size,
        )
        self.size, self.examples_seen, self.place = len(train), examples_seen, strategy.place
        self.program = engine.resident_training(
            plan.model,
            plan.players,
            plan.preprocessing,
            strategy,
            self.batch_size,
            self.size,
            plan.config.training.accumulation,
            plan.config.training.average_decay,
        )
        self.data = strategy.place((train.records, order.order_seed(root)))
        self.skipped_records = 0 if train.valid is None else int(np.sum(~train.valid))

    def available(self) -> int:
        """How many steps the next dispatch may take."""
        return UNLIMITED

    def advance(self, state: Tree, totals: Tree, steps: int, fresh: bool) -> tuple[Tree, Tree]:
        """Starts that many steps; returns state and totals to come."""
        where = engine.position(self.examples_seen, self.size, steps, fresh)
        self.examples_seen += steps * self.batch_size
        return self.program(state, totals, self.data, self.place(where))

    def arguments(self) -> tuple[Tree, Tree]:
        """What the program takes beside state and totals, to lower it with."""
        return self.data, self.place(np.zeros(4, np.uint32))

    def close(self) -> None:
        """Nothing runs in the background."""


class Streaming:
    """Training data read ahead in the background, a block of batches at a time.

    Attributes:
      waited: seconds that training stood still for want of data.
      skipped_records: records passed over so far because they could not be read.
    """

    def __init__(self, plan: Plan, strategy: Strategy, root: Any, examples_seen: int, steps: int):
        """Starts reading; arguments as those of `Resident`."""
        training = plan.config.training
        source = take_in(plan.dataset.train, plan.preprocessing.host)
        self.batch_size, self.examples_seen = training.batch_size, examples_seen
        self.place = strategy.place
        accumulation = training.accumulation
        self.program = engine.streamed_training(
            plan.model,
            plan.players,
            plan.preprocessing,
            strategy,
            self.batch_size,
            len(source),
            accumulation,
            training.average_decay,
        )
        micro = self.batch_size // accumulation
        seed = int(order.order_seed(root))
        places = streaming.shuffled(seed, examples_seen, len(source), micro)
        limit = training.steps_per_dispatch
        self.steps = streaming.block_steps(source, self.batch_size, limit)
        shares, blocks = shares_of(strategy, micro), -(-steps // self.steps)
        blocks = streaming.Blocks(source, places, shares, self.steps * accumulation, blocks)
        self.ahead = Ahead(streaming.iterate(blocks, plan.config.data.workers), strategy)
        self.block, self.first = None, self.steps
        self.skipped_records = 0

    @property
    def waited(self) -> float:
        """Seconds that training stood still for want of data."""
        return self.ahead.waited

    def available(self) -> int:
        """How many steps the next dispatch may take: to the end of the block."""
        return self.steps - self.first if self.first < self.steps else self.steps

    def advance(self, state: Tree, totals: Tree, steps: int, fresh: bool) -> tuple[Tree, Tree]:
        """Starts that many steps; returns state and totals to come."""
        if self.first >= self.steps:
            self.block, skipped = next(self.ahead)
            self.first = 0
            self.skipped_records += skipped
        where = np.array([self.first, 0, steps, fresh], np.uint32)
        self.first += steps
        self.examples_seen += steps * self.batch_size
        return self.program(state, totals, self.block, self.place(where))

    def arguments(self) -> tuple[Tree, Tree]:
        """As `Resident.arguments`, with the block that comes next, which is not used up."""
        return self.ahead.coming.result()[0], self.place(np.zeros(4, np.uint32))

    def close(self) -> None:
        """Ends the reading."""
        self.ahead.close()


class Ahead:
    """Blocks on their way to the devices, one ahead of the one in use."""

    def __init__(self, blocks: Iterator[streaming.Block], strategy: Strategy):
        """Starts with the first block."""
        self.blocks, self.strategy, self.waited = blocks, strategy, 0.0
        self.pool = ThreadPoolExecutor(1, "ae_jax input")
        self.coming = self.pool.submit(self._fetch)

    def _fetch(self) -> Any:
        block = next(self.blocks, None)
        if block is None:
            return None
        valid = block.records.valid
        skipped = 0 if valid is None else int(np.sum(~valid))
        return self.strategy.split(block), skipped

    def __iter__(self) -> "Ahead":
        """Itself."""
        return self

    def __next__(self) -> tuple[Any, int]:
        """The next block on the devices, and how many of its records were skipped."""
        began = time.perf_counter()
        block = self.coming.result()
        self.waited += time.perf_counter() - began
        if block is None:
            self.close()
            raise StopIteration
        self.coming = self.pool.submit(self._fetch)
        return block

    def close(self) -> None:
        """Ends the reading."""
        self.pool.shutdown(wait=True, cancel_futures=True)


ENGINES = {"resident": Resident, "streaming": Streaming}


def choose_engine(wanted: str, splits: dict[str, Source], budget: int) -> str:
    """The engine for these splits: resident when all of them fit the budget.

    Args:
      wanted: "auto", or an engine by name.
      splits: the data.
      budget: bytes a device may hold of them.

    Returns:
      A key of `ENGINES`.

    Raises:
      ConfigError: no engine has this name.
    """
    if wanted != "auto":
        if wanted not in ENGINES:
            raise ConfigError(
                f"no data.engine is called {wanted!r}{nearest(wanted, ['auto', *ENGINES])}"
            )
        return wanted
    return "resident" if sum(map(nbytes, splits.values())) <= budget else "streaming"


def shares_of(strategy: Strategy, batch_size: int) -> streaming.Shares:
    """Which places of the global batch this process reads."""
    process = jax.process_index()
    local = tuple(i for i, d in enumerate(strategy.devices) if d.process_index == process)
    return streaming.Shares(batch_size, len(strategy.devices), local)
