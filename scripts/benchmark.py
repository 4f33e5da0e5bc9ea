"""Times the training step of a config: examples/s, step time, compilation, waiting for input.

python scripts/benchmark.py --config=configs/vae_digits.py --engines=resident,streaming --json=F
"""

import json

from absl import flags
from etils import epath
from ml_collections import config_flags

from ae_jax import benchmarking, commands

config_flags.DEFINE_config_file("config", None, "A file in configs/, or FILE:variant.")
ENGINES = flags.DEFINE_list("engines", None, "Data engines to compare; the config's by default.")
STRATEGIES = flags.DEFINE_list("strategies", None, "Strategies to compare; the config's own.")
SECONDS = flags.DEFINE_float("seconds", 5.0, "How long to measure each.", lower_bound=0.0)
ROUNDS = flags.DEFINE_integer("rounds", 1, "How often to measure each, in turns.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "Where to write the results, with every sample.")


def main() -> None:
    """Runs the command."""
    config = commands.read_config()
    commands.require_deterministic(config)
    variants = [{}]
    for field, values in (
        ("data.engine", ENGINES.value),
        ("parallel.strategy", STRATEGIES.value),
    ):
        if values:
            variants = [{**variant, field: value} for variant in variants for value in values]
    results = [
        benchmarking.measure(config, SECONDS.value, variant)
        for _ in range(ROUNDS.value)
        for variant in variants
    ]
    print(benchmarking.table(results))
    if JSON.value:
        epath.Path(JSON.value).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    commands.main(main, required=("config",))
