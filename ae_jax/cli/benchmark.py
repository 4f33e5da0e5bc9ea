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

command.define_config()
ENGINES = flags.DEFINE_list("engines", None, "Data engines to compare; the config's by default.")
STRATEGIES = flags.DEFINE_list("strategies", None, "Strategies to compare; the config's own.")
DEVICES = flags.DEFINE_list("devices", None, "Numbers of devices to compare; the config's own.")
SWEEPS = flags.DEFINE_multi_string(
    "sweep", [], "FIELD=VALUE,VALUE: values of any field; may be given again, for all combinations."
)
SECONDS = flags.DEFINE_float("seconds", 5.0, "How long to measure each.", lower_bound=0.0)
ROUNDS = flags.DEFINE_integer("rounds", 1, "How often to measure each, in turns.", lower_bound=1)
LIMITS = flags.DEFINE_bool("limits", True, "Whether to measure what this machine can do at most.")
CACHE = flags.DEFINE_bool("cache", False, "Whether compiled programs may be kept from before.")
JSON = flags.DEFINE_string("json", None, "Where to write the results, with every sample.")
FIGURE = flags.DEFINE_string("figure", None, "Where to write a PNG of them.")
COMPARE = flags.DEFINE_string("compare", None, "An older --json to hold the results against.")
FAIL_BELOW = flags.DEFINE_float(
    "fail_below", None, "With --compare: exit with 1 if a variant is surely slower than this ratio."
)


def main() -> None:
    """Runs the command."""
    config = command.read_config()
    command.require_deterministic(config)
    if FAIL_BELOW.value is not None and COMPARE.value is None:
        raise ConfigError(
            "--fail_below needs --compare=FILE, the report to hold the results against"
        )
    old = benchmarking.read_report(COMPARE.value) if COMPARE.value else None
    jax.config.update("jax_enable_compilation_cache", CACHE.value)
    variants = benchmarking.variants(config, _sweeps())
    report = benchmarking.sweep(
        config,
        variants,
        SECONDS.value,
        rounds=ROUNDS.value,
        with_limits=LIMITS.value,
        log=lambda line: print(line, file=sys.stderr),
    )
    print(benchmarking.text(report))
    if JSON.value:
        epath.Path(JSON.value).write_text(json.dumps(report, indent=1))
    if FIGURE.value:
        benchmarking.draw(FIGURE.value, report)
    if old is not None:
        _compare(report, old)
    if all("error" in result for result in report["results"]):
        sys.exit(1)


def _sweeps() -> list:
    named = (
        ("data.engine", ENGINES.value),
        ("parallel.strategy", STRATEGIES.value),
        ("parallel.devices", DEVICES.value),
    )
    short = [f"{field}={','.join(values)}" for field, values in named if values]
    return [benchmarking.parse_sweep(text) for text in [*short, *SWEEPS.value]]


def _compare(report: dict, old: dict) -> None:
    rows = benchmarking.compare(report, old)
    print(benchmarking.comparison_text(rows, benchmarking.comparison_warnings(report, old)))
    if FAIL_BELOW.value is not None and benchmarking.slower(rows, FAIL_BELOW.value):
        sys.exit(1)


def start() -> None:
    """Runs the command with the arguments of the command line."""
    command.main(main, required=("config",))
