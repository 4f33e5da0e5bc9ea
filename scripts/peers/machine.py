"""What a measurement needs beside it: versions, revision, threads, load, clocks, flags."""

import importlib.metadata
import os
import pathlib
import platform
import re
import resource
import shlex
import sys
import time
from typing import Any

from ae_jax.runs import summary

PACKAGES = (
    "ae_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "torch",
    "triton",
    "pythae",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
)
FLAGS = re.compile(r"(JAX|XLA|PJRT|OMP|MKL|TORCH|CUDA|NVIDIA|TRITON)_")


def describe() -> dict[str, Any]:
    """The machine and the program, as this process sees them now."""
    return {
        "command": shlex.join([sys.executable, *sys.orig_argv[1:]]),
        "git_revision": summary.git_revision(),
        "versions": {"python": platform.python_version()} | _versions(),
        "flags": {name: value for name, value in os.environ.items() if FLAGS.match(name)},
        "cpu": cpu_model(),
        "affinity": affinity(),
        "clock_mhz": clock_mhz(),
        "load": load(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def affinity() -> list[int]:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def load() -> float | None:
    """Processes ready to run, the mean of the last minute; None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cpuinfo(field: str) -> list[str]:
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith(field)]


def cpu_model() -> str:
    """Its maker's name for it."""
    return next(iter(_cpuinfo("model name")), platform.processor() or platform.machine())


def clock_mhz() -> list[float]:
    """Of each CPU, now."""
    return [float(value) for value in _cpuinfo("cpu MHz")]


def max_rss_mib() -> float:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def started() -> float:
    """When this process started, by `time.time`; now, where the system does not tell."""
    stat = pathlib.Path("/proc/self/stat")
    if not stat.exists():
        return time.time()
    ticks = int(stat.read_text().rsplit(")", 1)[1].split()[19])  # field 22, after the name
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age
