"""How many codes of a codebook are in use, and how evenly."""

import math
from typing import Any, NamedTuple

import numpy as np

from ae_jax.errors import DataError, ShapeError


class CodeUse(NamedTuple):
    """How often each code stands for a position of some examples.

    Attributes:
      size: how many codes there are, of each of the codebooks.
      numbers: of the codes in use, ascending, one array for each level or group of the latent.
      counts: how often each of them is, exactly, in the same form.
    """

    size: int
    numbers: tuple[np.ndarray, ...]
    counts: tuple[np.ndarray, ...]

    @property
    def used(self) -> np.ndarray:
        """How many codes are in use, int64 `[codebooks]`."""
        return np.array([len(numbers) for numbers in self.numbers])

    @property
    def perplexity(self) -> np.ndarray:
        """Of shares p, exp(-Σ p log p), `[codebooks]`: so many codes, used alike, say as much."""

        def one(counts):
            share = counts / counts.sum()
            return math.exp(-float(np.sum(share * np.log(share))))

        return np.array([one(counts) for counts in self.counts])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for evaluation.json."""
        return {
            "codes": self.size,
            "codes_used": self.used.tolist(),
            "perplexity": self.perplexity.tolist(),
        }


def code_use(numbers: Any, size: int, codebooks: int = 1) -> CodeUse:
    """Use and perplexity of a codebook from the integers of some examples.

    Counted as integers, so that the same codes give the same numbers wherever they were computed.

    Args:
      numbers: integers `[n, …]`, as `Run.codes` gives them.
      size: how many codes there are.
      codebooks: of how many levels or groups the last axis is: each is counted alone.

    Returns:
      A CodeUse.

    Raises:
      DataError: numbers are no integers, empty, or outside 0 … size - 1.
      ShapeError: the last axis is not of that many codebooks.

    Example:
      >>> use = code_use([[0, 0], [3, 0], [3, 1]], size=4)
      >>> use.used.tolist(), use.counts[0].tolist(), round(use.perplexity[0].item(), 3)
      ([3], [3, 1, 2], 2.749)
    """
    numbers = np.asarray(numbers)
    if not np.issubdtype(numbers.dtype, np.integer) or not numbers.size:
        raise DataError(f"codes must be integers [n, …], got {numbers.dtype} {numbers.shape}")
    low, high = numbers.min(), numbers.max()
    if low < 0 or high >= size:
        raise DataError(f"codes must lie in 0 to {size - 1}, got {low} to {high}")
    if numbers.shape[-1] % codebooks:
        raise ShapeError(f"the last axis of {numbers.shape} is not of {codebooks} codebooks")
    columns = numbers.reshape(-1, codebooks).T
    tallies = [np.unique(column, return_counts=True) for column in columns]
    return CodeUse(size, tuple(n for n, _ in tallies), tuple(count for _, count in tallies))
