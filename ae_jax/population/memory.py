"""How much memory a device has for a population."""

import os
from typing import Any

import jax

from ae_jax.training.parallel import processes

SHARE = 0.9
"""Of what is there, how much a population may take: the compiler's estimate is not exact."""


def budget_of(memory_mib: int | None, devices: int | None) -> int | None:
    """Bytes of each device, in every process the same; None: unknown.

    Args:
      memory_mib: given, in MiB; None: what the device says, or of a CPU a share of the machine's.
      devices: how many are used; None: all.
    """
    wanted = _present(devices) if memory_mib is None else memory_mib * 2**20
    found = processes.from_first(wanted)
    return int(found) if found else None


def _present(devices: int | None) -> int:
    """Bytes that each device has for a population; 0: unknown."""
    device = jax.local_devices()[0]
    known: Any = device.memory_stats() or {}
    if "bytes_limit" in known:
        return int(SHARE * known["bytes_limit"])
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0
    return int(SHARE * machine) // (devices or jax.device_count())
