"""Trains what a config describes; the same command again resumes, and leaves a finished run alone.

python scripts/train.py --config=configs/vae_digits.py --workdir=runs/vae_digits
"""

import time

STARTED = time.time()

from absl import flags  # noqa: E402
from ml_collections import config_flags  # noqa: E402

from ae_jax import commands, fit_config  # noqa: E402

config_flags.DEFINE_config_file("config", None, "A file in configs/, or FILE:variant.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is kept, local or gs://.")


def main() -> None:
    """Runs the command."""
    config = commands.read_config()
    commands.require_deterministic(config)
    fit_config(config, WORKDIR.value, started=STARTED)


if __name__ == "__main__":
    commands.main(main, required=("config", "workdir"))
