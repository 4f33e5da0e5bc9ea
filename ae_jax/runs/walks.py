"""Walks through a run's latent space: interpolations and traversals."""

from collections.abc import Mapping
from typing import Any

import numpy as np

STEPS = 8
EXTENT = 2.5


def interpolations(
    run: Any,
    starts: Any,
    ends: Any,
    steps: int = STEPS,
    extras: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
) -> np.ndarray:
    """Decoded straight lines between the codes of pairs of examples.

    Args:
      run: an `ae.Run`.
      starts: `[n, *event]`, in the data's units, as `run.encode` takes them: of a masked array,
        what is masked is missing.
      ends: `[n, *event]`, the same.
      steps: points a line, both ends included.
      extras: of the starts and of the ends; the line is decoded under those of its start.

    Returns:
      float32 `[n * steps, *event]`, line after line.
    """
    first, last = run.encode(starts, extras=extras[0]), run.encode(ends, extras=extras[1])
    n = min(len(first), len(last))
    along = {name: np.repeat(np.asarray(v)[:n], steps, axis=0) for name, v in extras[0].items()}
    t = np.linspace(0, 1, steps, dtype=np.float32).reshape(1, steps, *[1] * (first.ndim - 1))
    line = (1 - t) * first[:n, None] + t * last[:n, None]
    return run.decode(line.reshape(n * steps, *first.shape[1:]), extras=along)


def traversals(
    run: Any,
    x: Any,
    extent: float = EXTENT,
    steps: int = STEPS,
    extras: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """The code of one example with each of its entries in turn moved from -extent to extent.

    Args:
      run: an `ae.Run`.
      x: one example `[*event]`, in the data's units; of a masked array, what is masked is missing.
      extent: how far, in the latent's units.
      steps: points an entry.
      extras: of that example.

    Returns:
      float32 `[entries * steps, *event]`, at most 16 entries.
    """
    own = {name: np.asarray(value)[None] for name, value in (extras or {}).items()}
    code = run.encode(np.asanyarray(x)[None], extras=own)[0]
    flat = code.reshape(-1)
    entries = min(flat.size, 16)
    moved = np.tile(flat, (entries, steps, 1))
    for j in range(entries):
        moved[j, :, j] = np.linspace(-extent, extent, steps)
    along = {name: np.repeat(value, entries * steps, axis=0) for name, value in own.items()}
    return run.decode(moved.reshape(entries * steps, *code.shape), extras=along)
