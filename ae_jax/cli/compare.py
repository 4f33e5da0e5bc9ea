"""Puts runs of the same data side by side, in the features of one classifier trained on it.

ae-jax compare runs/vae runs/gan --json=comparison.json --figure=comparison.png

The table has a row a run, and one of what training examples themselves score: Fréchet and kernel
distance, precision, recall, density and coverage of samples, how near they are to training examples
beside test examples, the length of paths through the latents; PSNR of reconstructions; parameters
and seconds. Runs that differ in their seed alone are one row with a deviation.
"""

import json
import pathlib

import numpy as np
from absl import flags
from etils import epath

import ae_jax as ae
from ae_jax import evaluation, figures
from ae_jax.cli import command
from ae_jax.errors import ConfigError
from ae_jax.evaluation.comparison import PERFECT
from ae_jax.evaluation.generation import Features, default_features

FLAGS = flags.FLAGS
SHOWN = 8  # samples a run, each above its nearest training example


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_integer("num", 2_000, "The most examples, and samples, that are looked at.", 1)
    flags.DEFINE_integer("seed", 0, "Seed of the samples and of the classifier.", 0, 2**32 - 1)
    flags.DEFINE_string("label", "label", "The entry of extras that the classifier learns.")
    flags.DEFINE_string("json", None, "Where to write the table.")
    flags.DEFINE_string("figure", None, "Where to draw samples, a PNG.")


def main(*workdirs: str) -> None:
    """Runs the command."""
    if not workdirs:
        raise ConfigError("which runs? ae-jax compare WORKDIR WORKDIR ...")
    if len(set(workdirs)) < len(workdirs):
        raise ConfigError("a workdir is named twice")
    runs = {workdir: ae.load(workdir) for workdir in workdirs}
    dataset = next(iter(runs.values())).dataset()
    features = default_features(dataset, FLAGS.label, FLAGS.seed)
    how = {"features": features, "label": FLAGS.label, "num": FLAGS.num, "seed": FLAGS.seed}
    table = evaluation.comparison(runs, dataset, **how)
    spread = evaluation.over_seeds(table, runs)
    print(text(table, spread))
    if FLAGS.json:
        result = {"runs": table, "over_seeds": spread}
        epath.Path(FLAGS.json).write_text(json.dumps(result, indent=1))
    if FLAGS.figure:
        draw(epath.Path(FLAGS.figure), runs, dataset, features)


def text(table: dict, spread: dict) -> str:
    """The table, a column a run: mean and, of several seeds, deviation."""
    columns = {name: {c: _shown(*cell) for c, cell in row.items()} for name, row in spread.items()}
    if PERFECT in table:
        columns[PERFECT] = {c: _shown(value, float("nan")) for c, value in table[PERFECT].items()}
    rows = list(dict.fromkeys(row for column in table.values() for row in column))
    names = {name: pathlib.PurePath(name).name for name in columns}
    if len(set(names.values())) < len(names):
        names = {name: name for name in columns}
    width = max(16, *map(len, names.values())) + 2
    lines = ["".join(["".ljust(20), *(names[name].rjust(width) for name in columns)])]
    for row in rows:
        cells = (column.get(row, "-").rjust(width) for column in columns.values())
        lines.append("".join([row.ljust(20), *cells]))
    return "\n".join(lines)


def _shown(mean: float, deviation: float) -> str:
    return f"{mean:.4g}" if deviation != deviation else f"{mean:.4g} ± {deviation:.2g}"


def draw(path: epath.Path, runs: dict, dataset: ae.data.Dataset, features: Features) -> None:
    """Samples of each run, every row of them above the training examples nearest to it."""
    sets, first = {}, next(iter(runs.values()))
    for name, run in runs.items():
        if run.has_prior:
            extras = dataset.test.read(np.arange(SHOWN)).extras
            samples = run.sample(SHOWN, FLAGS.seed, extras=extras)
            nearest, _ = evaluation.nearest_training(samples, dataset, features)
            short = pathlib.PurePath(name).name
            sets |= {short: samples, f"nearest to {short}": nearest}
    if not sets:
        raise ConfigError("none of the runs has a prior to draw samples from")
    low, high = first.display_range
    figures.examples_figure(path, sets, low, high, "samples")
    print(path)


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, positional=True)
