"""Trains what a config describes; the same command again resumes, and leaves a finished run alone.

ae-jax train --config=configs/vae_digits.py --workdir=runs/vae_digits

One of several processes, on as many machines: with --coordinator=HOST:PORT --num_processes=4
--process_id=0 (to 3), or with --cluster=slurm and the like. --profile=100:110 traces these steps.
"""

from absl import flags

from ae_jax import fit_config
from ae_jax.cli import command

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    command.define_config()
    flags.DEFINE_string("workdir", None, "Where the run is kept, local or gs://.")
    flags.DEFINE_string("profile", None, "FIRST:LAST steps to trace into workdir/profile.")
    command.define_processes()


def main() -> None:
    """Runs the command."""
    config = command.read_config()
    command.require_deterministic(config)
    profile = None if FLAGS.profile is None else command.parse_steps(FLAGS.profile)
    fit_config(config, FLAGS.workdir, started=command.process_started(), profile=profile)


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, required=("config", "workdir"))
