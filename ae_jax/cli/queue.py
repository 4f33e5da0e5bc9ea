"""Trains a list of configs in one job, each in its own workdir below a root.

ae-jax queue --configs=configs/vae_digits.py,configs/autoencoder_digits.py:smoke \
    --root=runs/queue --overrides="--config.training.seed=1"

--lines=FILE has a config a line, with overrides of its own. A workdir is named by the file and a
hash of the complete config. What is finished is skipped, what fails is noted in ROOT/queue.json and
passed over; the same command again goes on. Exit codes: 0 all finished, 1 some failed, 143 SIGTERM.
As one of several processes it takes the flags of train.py.
"""

import pathlib
import shlex
import sys

from absl import flags

from ae_jax.cli import command, jobs
from ae_jax.errors import ConfigError, MissingFileError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_list("configs", [], "Files in configs/, or FILE:variant.")
    flags.DEFINE_string("lines", None, "A file with a config and its overrides a line.")
    flags.DEFINE_string("overrides", "", "--config.FIELD=VALUE, for all of them.")
    flags.DEFINE_string("root", None, "The folder of the workdirs, local or gs://.")
    command.define_processes()


def main() -> None:
    """Runs the command."""
    lines = list(FLAGS.configs)
    if FLAGS.lines is not None:
        file = pathlib.Path(FLAGS.lines)
        if not file.exists():
            raise MissingFileError(f"there is no '{file}'")
        lines += file.read_text().splitlines()
    queued = jobs.read(lines, shlex.split(FLAGS.overrides))
    if not queued:
        raise ConfigError("there is nothing to train: give --configs, or --lines")
    train = [sys.executable, "-m", "ae_jax.cli", "train"]
    queue = jobs.Queue(queued, FLAGS.root, [*train, *command.process_arguments()])
    sys.exit(queue.run())


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, required=("root",), joins=False)
