"""The machine that a measurement ran on, and what else ran on it."""

import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax

from ae_jax.runs import summary

VARIABLES = (
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "JAX_DISABLE_MOST_OPTIMIZATIONS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "CUDA_VISIBLE_DEVICES",
    "LIBTPU_INIT_ARGS",
    "OMP_NUM_THREADS",
    "NPROC",
)
"""Environment variables that change what a program does or how fast."""
CACHES = "/sys/devices/system/cpu/cpu0/cache"


def describe() -> dict[str, Any]:
    """Devices, processor, versions, settings and load: what a time needs beside it.

    Returns:
      `ae_jax.runs.summary.environment()` and: "platform"; "devices", their number; "cpu", its
      model; "cpu_count", of the machine; "cpu_usable", of these; "cache_bytes", of the last level;
      "load_average" over 1, 5 and 15 minutes; "variables", those of `VARIABLES` that are set;
      "jax_default_matmul_precision"; "compilation_cache", whether compiled programs are kept and
      found again; "command". None stands where the system does not tell.
    """
    return {
        **summary.environment(),
        "platform": jax.default_backend(),
        "devices": jax.device_count(),
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        "cpu_usable": usable_cpus(),
        "cache_bytes": cache_bytes(),
        "load_average": load_average(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "jax_default_matmul_precision": _setting("jax_default_matmul_precision"),
        "compilation_cache": compilation_cache(),
        "command": list(sys.argv),
    }


def name(description: Mapping[str, Any]) -> str:
    """What to call a device of the machine: of processors, whose kind is just "cpu", the model."""
    kind, cpu = description["device_kind"], description.get("cpu")
    return cpu if kind == "cpu" and cpu else kind


def usable_cpus() -> int | None:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def load_average() -> list[float] | None:
    """Processes that ran or waited to, over the last 1, 5 and 15 minutes."""
    try:
        return list(os.getloadavg())
    except (AttributeError, OSError):
        return None


def cache_bytes() -> int | None:
    """The size of the processor's last-level cache, one instance of it (Linux)."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = []
    for path in pathlib.Path(CACHES).glob("index*/size"):
        text = path.read_text().strip()
        if text[:-1].isdigit() and text[-1] in units:
            sizes.append(int(text[:-1]) * units[text[-1]])
    return max(sizes, default=None)


def anonymous_mib() -> float | None:
    """This process's memory that no file backs, in MiB; None where the system does not tell."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024


def peak_device_bytes() -> int | None:
    """The most that the first device has held since the process began, where it tells."""
    stats = jax.local_devices()[0].memory_stats()
    return None if stats is None else stats.get("peak_bytes_in_use")


def compilation_cache() -> bool:
    """Whether compiled programs are looked up in a folder and kept there."""
    enabled = _setting("jax_enable_compilation_cache")
    return bool(enabled and _setting("jax_compilation_cache_dir"))


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What two descriptions disagree in that may change a time: `field: theirs -> ours`."""
    lines = []
    for field in (
        "device_kind",
        "platform",
        "devices",
        "cpu",
        "cpu_count",
        "cpu_usable",
        "matmul_precision",
        "variables",
    ):
        if ours.get(field) != theirs.get(field):
            lines.append(f"{field}: {theirs.get(field)!r} -> {ours.get(field)!r}")
    new, old = ours.get("versions", {}), theirs.get("versions", {})
    lines += [
        f"{name}: {old.get(name)} -> {new.get(name)}"
        for name in sorted(set(new) | set(old))
        if new.get(name) != old.get(name)
    ]
    return lines


def busy(description: Mapping[str, Any]) -> str | None:
    """A warning if much else ran as the measurement began."""
    load, usable = description.get("load_average"), description.get("cpu_usable")
    if load and usable and load[0] > 0.5 * usable:
        return (
            f"the machine was busy before this began (load average {load[0]:.1f} on {usable} "
            "processors): times may be too long, and none should be quoted"
        )
    return None


def _setting(name: str) -> Any:
    return getattr(jax.config, name, None)


def _cpu() -> str | None:
    info = pathlib.Path("/proc/cpuinfo")
    if not info.exists():
        return None
    named = (line for line in info.read_text().splitlines() if line.startswith("model name"))
    return next((line.split(":", 1)[1].strip() for line in named), None)
