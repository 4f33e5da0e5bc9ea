"""How fast a config trains on this machine, and how fast it could on a pod."""

from ae_jax.benchmarking.pod_figure import draw as draw_pods
from ae_jax.benchmarking.pod_report import table as pod_table
from ae_jax.benchmarking.pod_report import text as pod_text
from ae_jax.benchmarking.pods import compile_for_pod
from ae_jax.benchmarking.throughput import VERSION, measure, table

__all__ = [
    "VERSION",
    "compile_for_pod",
    "draw_pods",
    "measure",
    "pod_table",
    "pod_text",
    "table",
]
