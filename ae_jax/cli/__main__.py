"""`ae-jax COMMAND`, also `python -m ae_jax.cli COMMAND`: one command a module of this folder."""

import importlib
import sys

from ae_jax.errors import nearest

COMMANDS = {
    "train": "trains what a config describes, or goes on with it",
    "evaluate": "evaluates a run; prints a table, writes evaluation.json",
    "apply": "encodes, denoises, imputes or scores data, into a file",
    "sample": "writes samples, interpolations and traversals of a run",
    "compare": "puts runs of the same data side by side: table and figure",
    "benchmark": "times the training step and names the limit that binds",
    "pods": "compiles a config for TPU slices that need not be there",
    "prepare": "makes a TFDS data set ready",
    "queue": "trains a list of configs in one job",
    "sweep": "trains many runs of a config in one program",
}
BAD_USAGE = 2


def usage() -> str:
    """What `ae-jax --help` prints."""
    rows = "\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())
    return f"ae-jax COMMAND [--flag=value ...]\n\n{rows}\n\nae-jax COMMAND --help: its flags."


def main() -> None:
    """Runs the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print(usage())
        return
    if name not in COMMANDS:
        print(f"ae-jax has no command '{name}'{nearest(name, COMMANDS)}", file=sys.stderr)
        sys.exit(BAD_USAGE)
    sys.argv = [f"ae-jax {name}", *sys.argv[2:]]
    importlib.import_module(f"ae_jax.cli.{name}").start()


if __name__ == "__main__":
    main()
