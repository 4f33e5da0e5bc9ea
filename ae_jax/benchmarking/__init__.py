"""How fast a config trains on this machine, and what it waits for."""

from ae_jax.benchmarking.throughput import VERSION, measure, table

__all__ = ["VERSION", "measure", "table"]
