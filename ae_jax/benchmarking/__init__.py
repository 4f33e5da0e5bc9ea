"""How fast a config trains on this machine, and how fast it could on a pod."""

from ae_jax.benchmarking.pods.compile import compile_for_pod
from ae_jax.benchmarking.pods.figure import draw as draw_pods
from ae_jax.benchmarking.pods.report import table as pod_table
from ae_jax.benchmarking.pods.report import text as pod_text
from ae_jax.benchmarking.step.comparison import compare, slower
from ae_jax.benchmarking.step.comparison import read as read_report
from ae_jax.benchmarking.step.comparison import text as comparison_text
from ae_jax.benchmarking.step.comparison import warnings as comparison_warnings
from ae_jax.benchmarking.step.figure import draw
from ae_jax.benchmarking.step.measure import VERSION, measure, sweep
from ae_jax.benchmarking.step.report import table, text
from ae_jax.benchmarking.step.sweeps import parse_sweep, variants

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
