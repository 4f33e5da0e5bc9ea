"""The streaming engine: blocks of batches read ahead by Grain, each process its own share."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ae_jax.data import order
from ae_jax.data.source import Records, Source, check_records, nbytes

BLOCK_BYTES = 16 * 2**20
BLOCK_STEPS = 256
THREADS = 4


class Block(NamedTuple):
    """Several global batches, one process's share of them.

    Attributes:
      records: leaves `[devices, steps, share, …]`, of the process's own devices.
      index: uint32 `[devices, steps, share]`, places in the data set.
      valid: bool `[devices, steps, share]`, False for padding; None: all count.
    """

    records: Records
    index: Any
    valid: Any = None


class Shares(NamedTuple):
    """How a global batch is shared out.

    Attributes:
      batch_size: size of the global batch.
      devices: how many there are in all processes.
      local: the numbers of this process's devices.
    """

    batch_size: int
    devices: int
    local: tuple[int, ...]

    def places(self) -> np.ndarray:
        """The places in the global batch of this process's examples, int64 `[local, share]`."""
        share = self.batch_size // self.devices
        return np.asarray(self.local)[:, None] * share + np.arange(share)


def block_steps(source: Source, batch_size: int, limit: int | None = None) -> int:
    """How many batches a block holds: about 16 MiB, at most 256 and at most `limit`."""
    batch_bytes = nbytes(source) * batch_size // len(source)
    fitting = max(1, BLOCK_BYTES // max(1, batch_bytes))
    return min(fitting, BLOCK_STEPS, limit or BLOCK_STEPS)


def shuffled(seed: int, start: int, size: int, batch_size: int) -> Callable[..., Any]:
    """The order of training: `(step, places) -> (index, None)`, steps counted from `start` on.

    The same as `resident.shuffled_index`, in NumPy.
    """

    def index(steps: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, None]:
        position = start + steps.astype(np.int64) * batch_size + places
        epoch = (position // size % 2**32).astype(np.uint32)
        within = (position % size).astype(np.uint32)
        return order.order(np.uint32(seed), epoch, within, size, xp=np), None

    return index


def sequential(size: int, batch_size: int) -> Callable[..., Any]:
    """The order of evaluation: every example once, then padding that is not valid."""

    def index(steps: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        position = steps.astype(np.int64) * batch_size + places
        return np.minimum(position, size - 1).astype(np.uint32), position < size

    return index


class Blocks:
    """A Grain random-access source whose i-th record is the i-th block of a pass over the data."""

    def __init__(
        self, source: Source, order: Callable[..., Any], shares: Shares, steps: int, length: int
    ):
        """Describes the pass; nothing is read.

        Args:
          source: read from Grain's threads or processes.
          order: `(steps, places) -> (index, valid)`.
          shares: places that are this process's.
          steps: batches a block.
          length: how many blocks.
        """
        self.source, self.order, self.shares = source, order, shares
        self.steps, self.length = steps, length

    def __len__(self) -> int:
        """How many blocks there are."""
        return self.length

    def __getitem__(self, index: int) -> Block:
        """Reads a block in one call of the source."""
        places = self.shares.places()[:, None, :]
        steps = (int(index) * self.steps + np.arange(self.steps))[None, :, None]
        steps, places = np.broadcast_arrays(steps, places)
        chosen, valid = self.order(steps, places)
        flat = chosen.ravel().astype(np.int64)
        records = self.source.read(flat)
        check_records(records, "streamed", flat)
        fold = lambda leaf: leaf.reshape(*chosen.shape, *leaf.shape[1:])
        fields = Records(*(_map(fold, field) for field in records))
        return Block(fields, chosen, valid)


def _map(fn: Callable[[np.ndarray], np.ndarray], field: Any) -> Any:
    if field is None:
        return None
    return {k: fn(v) for k, v in field.items()} if isinstance(field, dict) else fn(field)


def iterate(blocks: Blocks, workers: int = 0) -> Iterator[Block]:
    """The blocks in order, read ahead by threads, or by processes for sources that hold the GIL.

    Args:
      blocks: blocks of one pass.
      workers: how many processes; 0: threads of this one.
    """
    import grain

    options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=THREADS)
    stream = grain.MapDataset.source(blocks).to_iter_dataset(options)
    if workers:
        from absl import flags

        if not flags.FLAGS.is_parsed():  # Grain's processes read flags, which only scripts parse
            flags.FLAGS.mark_as_parsed()
        stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(stream)
