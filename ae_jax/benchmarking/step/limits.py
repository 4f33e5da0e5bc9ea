"""What this machine can do at most, measured on the spot: the limits that a step is held against.

Three programs run on the devices of the step, all of them at once:

- the step's own matrix products and convolutions and nothing else, at the same shapes and dtypes;
- one large square matrix product in the dtype of most of them: the peak for computing;
- `a ← q a + b` over arrays much larger than the caches: the bandwidth of main memory (the triad of
  McCalpin 1995, "Memory bandwidth and machine balance in current high performance computers", with
  its result written over an operand: two reads and a write).

A step takes at least as long as its products alone, and as moving what it must read and write.
Both are bounds of this software on this hardware, not of the hardware: another library may multiply
faster.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ae_jax.benchmarking.step.products import alone, mapped, on_all, operations, turn_seconds

GEMM = {"cpu": 2048}
GEMM_DEFAULT = 8192
"""Rows and columns of the large matrix product."""
TRIAD_BYTES = {"cpu": 128 * 2**20}
TRIAD_DEFAULT = 512 * 2**20
"""Of each of the two arrays of the triad."""


def bound(
    products: float, moved: int, bandwidth: float, cache: int | None, step: float
) -> dict[str, Any]:
    """The least time of a step by the limits of this machine, and how near it the step is.

    Args:
      products: seconds of its products alone.
      moved: bytes that it reads and writes at least.
      bandwidth: bytes a second.
      cache: bytes of a cache in which what is moved may stay; None: there is none to speak of.
      step: seconds of the whole step.

    Returns:
      "products_seconds"; "memory_bytes"; "memory_seconds", and "memory_counts", False where all of
      it fits in the cache, since then it bounds nothing; "seconds", the larger of those that count;
      "held_by", "products" or "memory"; "fraction", `seconds / step`.
    """
    memory, counts = moved / bandwidth, cache is None or moved > cache
    held = "memory" if counts and memory > products else "products"
    least = memory if held == "memory" else products
    return {
        "products_seconds": products,
        "memory_bytes": moved,
        "memory_seconds": memory,
        "memory_counts": counts,
        "seconds": least,
        "held_by": held,
        "fraction": least / step,
    }


def gemm_peak(dtype: str, devices: Sequence[Any], seconds: float, size: int | None = None) -> float:
    """Operations a second of one large square matrix product on each device.

    Args:
      dtype: dtype of its operands.
      devices: at once.
      seconds: time to spend.
      size: rows and columns; None: 2048 on CPU, 8192 elsewhere.

    Returns:
      FLOP/s of one device, the median.
    """
    size = size or GEMM.get(devices[0].platform, GEMM_DEFAULT)
    struct = jax.ShapeDtypeStruct((size, size), dtype)
    product = jax.make_jaxpr(lambda a, b: a @ b)(struct, struct).jaxpr
    product_loop = alone(operations(product, None), devices)
    return product_loop.flops / statistics.median(turn_seconds(product_loop, seconds))


def bandwidth(devices: Sequence[Any], seconds: float, nbytes: int | None = None) -> float:
    """Bytes a second between main memory and each device.

    Args:
      devices: at once.
      seconds: time to spend, at least three calls.
      nbytes: bytes of each of the two arrays; None: 128 MiB on CPU, 512 MiB elsewhere.

    Returns:
      Bytes/s of one device, the median: two reads and a write of each element.
    """
    nbytes = nbytes or TRIAD_BYTES.get(devices[0].platform, TRIAD_DEFAULT)
    a, b = (on_all(np.ones(nbytes // 4, np.float32), devices) for _ in range(2))
    triad = mapped(lambda a, b: 0.5 * a + b, devices, donate=(0,))
    times: list[float] = []
    ended = None
    while ended is None or len(times) < 3 or time.perf_counter() < ended:
        began = time.perf_counter()
        a = jax.block_until_ready(triad(a, b))
        if ended is not None:
            times.append(time.perf_counter() - began)
        else:  # that one compiled
            ended = time.perf_counter() + seconds
    return 3 * a.nbytes / statistics.median(times)
