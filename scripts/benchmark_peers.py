"""Compares ae_jax with PyTorch, pythae and a plain JAX loop on the same work, in fresh processes.

python scripts/benchmark_peers.py --folder=runs/peers --workloads=vae --processes=7 --seconds=5

Needs `pip install ae_jax[bench-peers]`; peers that are not installed are left out and named. Every
peer must first reproduce ae_jax's first ten losses. The same command goes on where it was cut off;
`results.json` and `results.md` are written after each workload. Run it on an idle machine.
"""

import shutil
import signal
import sys

from absl import flags
from peers import elbo, report, runner, table, trainer, workloads

from ae_jax.cli import command
from ae_jax.errors import ConfigError, UnknownNameError, nearest

FOLDER = flags.DEFINE_string("folder", None, "Local folder of everything that is written.")
GPU = shutil.which("nvidia-smi") is not None
QUICK = [name for name in workloads.WORKLOADS if GPU or name != "resnet_vae"]
WORKLOADS = flags.DEFINE_list(
    "workloads", QUICK, "What to train; by default all, without a GPU but for resnet_vae."
)
PEERS = flags.DEFINE_list("peers", list(table.PEERS), "Who is compared; ae_jax always is.")
VARIANTS = flags.DEFINE_list("variants", [], "Only these, as PEER.VARIANT; all by default.")
REGIMES = flags.DEFINE_list("regimes", list(runner.REGIMES), "Where the data lie.")
SETTINGS = flags.DEFINE_list("settings", ["one", "best"], "One step a call; the best found.")
PROCESSES = flags.DEFINE_integer("processes", 7, "Fresh processes a side.", lower_bound=0)
SECONDS = flags.DEFINE_float("seconds", 5.0, "Measured in each.", lower_bound=0.0)
TUNING = flags.DEFINE_float("tuning_seconds", 20.0, "To tune each row in.", lower_bound=0.0)
SIZE = flags.DEFINE_enum("size", "full", ["full", "smoke"], "Of the workloads.")
PRECISION = flags.DEFINE_enum("precision", "float32", list(trainer.PRECISIONS), "Of all.")
TIMEOUT = flags.DEFINE_float("timeout", 900.0, "Seconds after which a process has failed.")
ELBO = flags.DEFINE_integer(
    "elbo_processes", 0, "Processes a side that train the VAE to a test -ELBO; 0: none."
)
ELBO_SOURCE = flags.DEFINE_string("elbo_source", elbo.SOURCE, "Of images 28 x 28; empty: noise.")
ELBO_TARGET = flags.DEFINE_float("elbo_target", elbo.TARGET, "Nats.")
ELBO_EPOCHS = flags.DEFINE_integer("elbo_epochs", elbo.EPOCHS, "Of each run.", lower_bound=1)


def options() -> runner.Options:
    """The flags, checked."""
    variants = [f"{p.name}.{v.name}" for p in table.PEERS.values() for v in p.variants]
    for what, given, known in (
        ("workload", WORKLOADS.value, workloads.WORKLOADS),
        ("peer", PEERS.value, table.PEERS),
        ("variant", VARIANTS.value, variants),
        ("regime", REGIMES.value, runner.REGIMES),
        ("setting", SETTINGS.value, ("one", "best")),
    ):
        for name in given:
            if name not in known:
                raise UnknownNameError(f"no {what} is called '{name}'{nearest(name, known)}")
    if not (REGIMES.value and SETTINGS.value and WORKLOADS.value):
        raise ConfigError("workloads, regimes and settings need at least one name each")
    return runner.Options(
        folder=str(FOLDER.value),
        workloads=tuple(WORKLOADS.value),
        peers=tuple(PEERS.value),
        variants=tuple(VARIANTS.value),
        regimes=tuple(REGIMES.value),
        settings=tuple(SETTINGS.value),
        processes=PROCESSES.value,
        seconds=SECONDS.value,
        tuning_seconds=TUNING.value,
        size=SIZE.value,
        precision=PRECISION.value,
        timeout=TIMEOUT.value,
        gpu=GPU,
        elbo_processes=ELBO.value,
    )


def main() -> None:
    """Runs the command."""
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends its process too
    run = runner.Runner(chosen)
    for workload in chosen.workloads if chosen.processes else ():
        run.compare(workload)
        report.write(report.build(run.store, chosen), chosen.folder)
    reached = []
    if chosen.elbo_processes:
        target = ELBO_TARGET.value
        reached = elbo.run(run, ELBO_SOURCE.value, target, ELBO_EPOCHS.value)
    result = report.build(run.store, chosen, reached)
    report.write(result, chosen.folder)
    print(report.markdown(result))


if __name__ == "__main__":
    command.main(main, required=("folder",), joins=False)
