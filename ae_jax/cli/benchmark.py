"""Times the training step of a config and says which limit of this machine it is held by.

ae-jax benchmark --config=configs/vae_digits.py --engines=resident,streaming
ae-jax benchmark --config=C --sweep=training.batch_size=64,128,256 --rounds=5 --json=F
ae-jax benchmark --config=C --rounds=5 --compare=F --fail_below=0.9

What the JSON holds is documented at `ae_jax.benchmarking.step.measure.measure` and `sweep`.
"""

import json
import sys

import jax
from absl import flags
from etils import epath

from ae_jax import benchmarking
from ae_jax.cli import command
from ae_jax.errors import ConfigError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    command.define_config()
    flags.DEFINE_list("engines", None, "Data engines to compare; the config's by default.")
    flags.DEFINE_list("strategies", None, "Strategies to compare; the config's own.")
    flags.DEFINE_list("devices", None, "Numbers of devices to compare; the config's own.")
    flags.DEFINE_multi_string(
        "sweep",
        [],
        "FIELD=VALUE,VALUE: values of any field; may be given again, for all combinations.",
    )
    flags.DEFINE_float("seconds", 5.0, "How long to measure each.", lower_bound=0.0)
    flags.DEFINE_integer("rounds", 1, "How often to measure each, in turns.", lower_bound=1)
    flags.DEFINE_bool("limits", True, "Whether to measure what this machine can do at most.")
    flags.DEFINE_bool("cache", False, "Whether compiled programs may be kept from before.")
    flags.DEFINE_string("json", None, "Where to write the results, with every sample.")
    flags.DEFINE_string("figure", None, "Where to write a PNG of them.")
    flags.DEFINE_string("compare", None, "An older --json to hold the results against.")
    flags.DEFINE_float(
        "fail_below",
        None,
        "With --compare: exit with 1 if a variant is surely slower than this ratio.",
    )


def main() -> None:
    """Runs the command."""
    config = command.read_config()
    command.require_deterministic(config)
    if FLAGS.fail_below is not None and FLAGS.compare is None:
        raise ConfigError(
            "--fail_below needs --compare=FILE, the report to hold the results against"
        )
    old = benchmarking.read_report(FLAGS.compare) if FLAGS.compare else None
    jax.config.update("jax_enable_compilation_cache", FLAGS.cache)
    variants = benchmarking.variants(config, _sweeps())
    report = benchmarking.sweep(
        config,
        variants,
        FLAGS.seconds,
        rounds=FLAGS.rounds,
        with_limits=FLAGS.limits,
        log=lambda line: print(line, file=sys.stderr),
    )
    print(benchmarking.text(report))
    if FLAGS.json:
        epath.Path(FLAGS.json).write_text(json.dumps(report, indent=1))
    if FLAGS.figure:
        benchmarking.draw(FLAGS.figure, report)
    if old is not None:
        _compare(report, old)
    if all("error" in result for result in report["results"]):
        sys.exit(1)


def _sweeps() -> list:
    named = (
        ("data.engine", FLAGS.engines),
        ("parallel.strategy", FLAGS.strategies),
        ("parallel.devices", FLAGS.devices),
    )
    short = [f"{field}={','.join(values)}" for field, values in named if values]
    return [benchmarking.parse_sweep(text) for text in [*short, *FLAGS.sweep]]


def _compare(report: dict, old: dict) -> None:
    rows = benchmarking.compare(report, old)
    print(benchmarking.comparison_text(rows, benchmarking.comparison_warnings(report, old)))
    if FLAGS.fail_below is not None and benchmarking.slower(rows, FLAGS.fail_below):
        sys.exit(1)


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, required=("config",))
