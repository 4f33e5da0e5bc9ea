"""Compiles a config's training step for a TPU slice that need not be there, and tells its limits.

    pip install -e ".[tpu-compile]"
    ae-jax pods --config=configs/vae_digits.py --topology=v5e:16x16

Prints memory against the chip's, FLOPs, bytes, collectives, the roofline and weak scaling: bounds,
not measurements. Needs neither a TPU nor the data. Exit code 1: something does not fit the chip.
"""

import json
import pathlib
import sys

from absl import flags
from etils import epath
from ml_collections import config_flags

from ae_jax import benchmarking
from ae_jax import config as config_lib
from ae_jax.cli import command

command.define_config()
TOPOLOGY = flags.DEFINE_string(
    "topology", "v5e:16x16", "Slice: v4, v5e, v5p or v6e, and its shape."
)
STRATEGY = flags.DEFINE_list("strategy", None, "One or several; the config's pod.strategies.")
JSON = flags.DEFINE_string(
    "json", None, "Where to write the reports; see ae_jax.benchmarking.pods."
)
FIGURE = flags.DEFINE_string("figure", None, "Where to draw them, a PNG.")


def main() -> None:
    """Runs the command."""
    config = config_lib.complete(command.read_config())
    file = config_flags.get_config_filename(flags.FLAGS["config"])
    name = pathlib.Path(file).stem
    reports = []
    for strategy in STRATEGY.value or config.pod.strategies:
        report = benchmarking.compile_for_pod(config, TOPOLOGY.value, strategy)
        reports.append({"config": name, **report})
        print(benchmarking.pod_text(reports[-1]), end="\n\n", flush=True)
    print(benchmarking.pod_table(reports))
    if JSON.value:
        epath.Path(JSON.value).write_text(json.dumps(reports, indent=1))
    if FIGURE.value:
        benchmarking.draw_pods(FIGURE.value, reports)
    if not all(report["fits"] for report in reports):
        sys.exit(1)


def start() -> None:
    """Runs the command with the arguments of the command line."""
    command.main(main, required=("config",))
