"""A report as `sweep` gives one, with numbers that are easy to reckon with."""

import copy
from typing import Any

from ae_jax.benchmarking import VERSION

STEP = 2e-3
ENVIRONMENT = {
    "device_kind": "cpu",
    "platform": "cpu",
    "devices": 1,
    "cpu": "A Processor",
    "cpu_count": 2,
    "cpu_usable": 2,
    "load_average": [0.1, 0.1, 0.1],
    "matmul_precision": "float32",
    "variables": {},
    "versions": {"jax": "1.0", "numpy": "2.0"},
}
RESULT: dict[str, Any] = {
    "overrides": {"training.batch_size": 128},
    "batch_size": 128,
    "engine": "resident",
    "strategy": "pmap",
    "device_count": 1,
    "compute_dtype": "float32",
    "examples_per_second": 64_000.0,
    "examples_per_second_per_device": 64_000.0,
    "units": {"name": "pixels", "per_example": 64, "per_second": 4_096_000.0},
    "step_seconds": {"q25": 0.9 * STEP, "median": STEP, "q75": 1.2 * STEP},
    "samples": [[[10 * STEP, 10], [0.9 * STEP, 1], [24 * STEP, 20]]],
    "steps_per_dispatch": 10,
    "input_wait_share": 0.0,
    "dispatch": {"seconds": 2e-4, "share": 0.01},
    "compile_seconds": 3.0,
    "compiled_before": False,
    "first_step_seconds": 5.0,
    "flops": {"model": 12_000_000, "step": 12_000_000, "xla": 13_000_000, "xla_products": None},
    "flops_per_second": 6e9,
    "mfu": {"value": 0.06, "peak_flops": 1e11, "precision": "float32", "of": "a large product"},
    "collective_bytes": 0,
    "memory": {"program": {"total": 3_000_000}, "device_peak": None, "process_anonymous": None},
    "limits": {
        "products_seconds": 0.8 * STEP,
        "products_complete": True,
        "products_flops_per_second": 7.5e10,
        "gemm_flops_per_second": 1e11,
        "memory_bytes": 2_000_000,
        "memory_bytes_per_second": 2e10,
        "memory_seconds": 1e-4,
        "memory_counts": True,
        "seconds": 0.8 * STEP,
        "held_by": "products",
        "fraction": 0.8,
    },
    "limit_error": None,
}


def result(**fields: Any) -> dict[str, Any]:
    """A result with some fields changed; of fields that are mappings, what is given in them."""
    made = copy.deepcopy(RESULT)
    for name, value in fields.items():
        inner = isinstance(value, dict) and isinstance(made.get(name), dict)
        made[name] = {**made[name], **value} if inner and name != "overrides" else value
    return made


def report(*results: dict[str, Any], **environment: Any) -> dict[str, Any]:
    """A report of these results."""
    return {
        "version": VERSION,
        "environment": {**copy.deepcopy(ENVIRONMENT), **environment},
        "config": {"training": {"batch_size": 128}},
        "seconds": 1.0,
        "rounds": 1,
        "results": list(results) or [result()],
    }
