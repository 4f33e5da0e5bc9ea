"""Data that are made up as they are read, each example from its own index alone."""

import dataclasses
import functools
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data import order
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Records
from ae_jax.errors import ConfigError

TABLE = 1024
TABLE_BYTES = 2**24


@SOURCES.register
def synthetic(
    shape: str | int | Sequence[int] = (28, 28, 1),
    size: int = 60_000,
    test_size: int = 10_000,
    dtype: str = "uint8",
    classes: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Noise of any shape and dtype, for benchmarks.

    Example i is the row `hash(i)` of a table of 1,024 random ones (16 MiB at most): reading costs
    no more than a copy, and there is nothing to learn.

    Args:
      shape: shape of an example, also as text: "synthetic:32x32x3".
      size: how many there are to learn from.
      test_size: how many to evaluate on.
      dtype: "uint8", "bool", another integer (0 … 127) or a float (standard normal).
      classes: how many labels there are, random ones, in the extra "label"; None: no labels.
      seed: seed of the table.

    Returns:
      A Dataset.

    Raises:
      ConfigError: a shape, size or dtype that is none.

    Example:
      >>> import ae_jax as ae
      >>> ae.data.synthetic("8x3", size=10, dtype="float32").train.spec.x
      ShapeDtypeStruct(shape=(8, 3), dtype=float32)
    """
    event = _event_shape(shape)
    require_positive_ints(size=size)
    require_seed(seed=seed)
    if test_size:
        require_positive_ints(test_size=test_size)
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "biuf":
        raise ConfigError(f"dtype must be that of a number, e.g. 'uint8', got {dtype!r}")
    if classes is not None:
        require_positive_ints(classes=classes)
    part = lambda first, count: Noise(event, kind, seed, first, count, classes)
    called = "x".join(map(str, event))
    return Dataset(part(0, size), part(size, test_size), source=f"synthetic:{called}")


def _event_shape(shape: str | int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(shape, str) and re.fullmatch(r"\d+(x\d+)*", shape):
        shape = [int(n) for n in shape.split("x")]
    axes = (shape,) if isinstance(shape, int) else shape
    whole = lambda n: isinstance(n, int) and not isinstance(n, bool) and n > 0
    if isinstance(axes, str) or not axes or not all(map(whole, axes)):
        raise ConfigError(f"shape must be like '28x28x1' or (28, 28, 1), got {shape!r}")
    return tuple(axes)


@dataclasses.dataclass(frozen=True, eq=False)
class Noise:
    """A source of noise.

    Attributes:
      shape: shape of an example.
      dtype: dtype of its values.
      seed: seed of the table.
      first: the number of example 0.
      count: how many there are.
      classes: how many labels; None: no labels.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    seed: int
    first: int
    count: int
    classes: int | None = None

    @functools.cached_property
    def table(self) -> np.ndarray:
        """The random examples, `[rows, *shape]`."""
        each = math.prod(self.shape) * self.dtype.itemsize
        rows = max(1, min(TABLE, TABLE_BYTES // each))
        rng, full = np.random.default_rng(self.seed), (rows, *self.shape)
        if self.dtype.kind == "f":
            return rng.standard_normal(full, np.float32).astype(self.dtype)
        high = {np.dtype(np.uint8): 256, np.dtype(np.bool_): 2}.get(self.dtype, 128)
        return rng.integers(0, high, full, np.uint8).astype(self.dtype)

    @property
    def spec(self) -> Records:
        """See `Source`."""
        label = jax.ShapeDtypeStruct((), np.dtype(np.int32))
        extras = {} if self.classes is None else {"label": label}
        return Records(jax.ShapeDtypeStruct(self.shape, self.dtype), extras)

    def __len__(self) -> int:
        """How many examples there are."""
        return self.count

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        row = order.hash_index((np.asarray(index) + self.first).astype(np.uint32))
        extras = {}
        if self.classes is not None:
            extras["label"] = (order.hash_index(row) % np.uint32(self.classes)).astype(np.int32)
        return Records(self.table[row % np.uint32(len(self.table))], extras)
