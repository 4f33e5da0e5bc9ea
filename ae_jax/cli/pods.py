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

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    command.define_config()
    flags.DEFINE_string("topology", "v5e:16x16", "Slice: v4, v5e, v5p or v6e, and its shape.")
    flags.DEFINE_list("strategy", None, "One or several; the config's pod.strategies.")
    flags.DEFINE_string("json", None, "Where to write the reports; see ae_jax.benchmarking.pods.")
    flags.DEFINE_string("figure", None, "Where to draw them, a PNG.")


def main() -> None:
    """Runs the command."""
    config = config_lib.complete(command.read_config())
    file = config_flags.get_config_filename(FLAGS["config"])
    name = pathlib.Path(file).stem
    reports = []
    for strategy in FLAGS.strategy or config.pod.strategies:
        report = benchmarking.compile_for_pod(config, FLAGS.topology, strategy)
        reports.append({"config": name, **report})
        print(benchmarking.pod_text(reports[-1]), end="\n\n", flush=True)
    print(benchmarking.pod_table(reports))
    if FLAGS.json:
        epath.Path(FLAGS.json).write_text(json.dumps(reports, indent=1))
    if FLAGS.figure:
        benchmarking.draw_pods(FLAGS.figure, reports)
    if not all(report["fits"] for report in reports):
        sys.exit(1)


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, required=("config",))
