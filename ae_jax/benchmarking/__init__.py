"""How fast a config trains on this machine, and how fast it could on a pod."""

from ae_jax.benchmarking.comparison import compare, slower
from ae_jax.benchmarking.comparison import read as read_report
from ae_jax.benchmarking.comparison import text as comparison_text
from ae_jax.benchmarking.comparison import warnings as comparison_warnings
from ae_jax.benchmarking.pod_figure import draw as draw_pods
from ae_jax.benchmarking.pod_report import table as pod_table
from ae_jax.benchmarking.pod_report import text as pod_text
from ae_jax.benchmarking.pods import compile_for_pod
from ae_jax.benchmarking.sweeps import parse_sweep, variants
from ae_jax.benchmarking.throughput import VERSION, measure, sweep
from ae_jax.benchmarking.throughput_figure import draw
from ae_jax.benchmarking.throughput_report import table, text

__all__ = [
    "VERSION",
    "compare",
    "comparison_text",
    "comparison_warnings",
    "compile_for_pod",
    "draw",
    "draw_pods",
    "measure",
    "parse_sweep",
    "pod_table",
    "pod_text",
    "read_report",
    "slower",
    "sweep",
    "table",
    "text",
    "variants",
]
