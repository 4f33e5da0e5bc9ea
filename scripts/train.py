"""Trains what a config describes; the same command again resumes, and leaves a finished run alone.

python scripts/train.py --config=configs/vae_digits.py --workdir=runs/vae_digits

One of several processes, on as many machines: with --coordinator=HOST:PORT --num_processes=4
--process_id=0 (to 3), or with --cluster=slurm and the like. --profile=100:110 traces these steps.
"""

import time

STARTED = time.time()

from absl import flags  # noqa: E402

from ae_jax import commands, fit_config  # noqa: E402

commands.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is kept, local or gs://.")
PROFILE = flags.DEFINE_string("profile", None, "FIRST:LAST steps to trace into workdir/profile.")
commands.define_processes()


def main() -> None:
    """Runs the command."""
    config = commands.read_config()
    commands.require_deterministic(config)
    profile = None if PROFILE.value is None else commands.parse_steps(PROFILE.value)
    fit_config(config, WORKDIR.value, started=STARTED, profile=profile)


if __name__ == "__main__":
    commands.main(main, required=("config", "workdir"))
