"""Applies a run to data, its own or new, and writes what comes out, an example a row.

ae-jax apply encode --workdir=runs/vae_digits --to=codes.npz
ae-jax apply score --workdir=runs/table --data=csv:new.csv --to=scores.csv

encode: posterior means. integers: the numbers of a quantised code. reconstruct and denoise: what
the decoder makes of the code. impute: missing entries filled in, what is observed as it was.
bound: a lower bound on log p(x), nats. score: how unlike the training examples each is, and whether
that is above the threshold of --contamination.

Without --data the run's own test split, or --split=train. New data are read whole, in order, with
the arguments of the run's own source; columns are found by name and categories by their words.
--to ends in .npz, .csv or .parquet and holds "index", the example's place, and the data's extras
beside what was computed; of tables with named columns a field a column.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax import evaluation
from ae_jax._registry import SOURCES
from ae_jax.cli import command
from ae_jax.data.dataset import Dataset, of_section
from ae_jax.data.source import Records, Source
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.evaluation.written import Fields, by_column

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("workdir", None, "The run.")
    flags.DEFINE_string("to", None, "The file to write: .npz, .csv or .parquet.")
    flags.DEFINE_string("data", None, "KIND:PATH of new data; None: the run's own.")
    flags.DEFINE_string("split", None, "Of the data; None: test of the run's own, all of new data.")
    flags.DEFINE_string("step", None, "Checkpoint: a step, or 'best'; the newest by default.")
    flags.DEFINE_integer("samples", 64, "Importance samples of bound and impute.", 1)
    flags.DEFINE_integer("seed", 0, "Of what is random in bound, impute and score.", 0, 2**32 - 1)
    flags.DEFINE_float("contamination", 0.1, "Of score: the share of training data held anomalous.")


def _encode(run: ae.Run) -> Callable[[Records], Fields]:
    return lambda records: {"codes": run.encode(records.x, **_told(records))}


def _integers(run: ae.Run) -> Callable[[Records], Fields]:
    return lambda records: {"codes": run.codes(records.x, **_told(records))}


def _reconstruct(run: ae.Run) -> Callable[[Records], Fields]:
    return lambda records: by_column(run, run.reconstruct(records.x, **_told(records)))


def _impute(run: ae.Run) -> Callable[[Records], Fields]:
    def imputed(records: Records) -> Fields:
        if records.observed is None:
            raise DataError("nothing is missing in these data, so that there is nothing to impute")
        if np.all(records.observed):
            return by_column(run, np.asarray(records.x))
        how = {"samples": FLAGS.samples, "seed": FLAGS.seed}
        return by_column(run, evaluation.impute(run, records.x, **how, **_told(records)).x)

    return imputed


def _bound(run: ae.Run) -> Callable[[Records], Fields]:
    bound = functools.partial(run.log_likelihood, samples=FLAGS.samples, seed=FLAGS.seed)
    return lambda records: {"bound": bound(records.x, **_told(records))}


def _score(run: ae.Run) -> Callable[[Records], Fields]:
    how: Any = {"contamination": FLAGS.contamination, "seed": FLAGS.seed}
    detector = evaluation.anomaly.detector(run, run.dataset().train, **how)

    def scored(records: Records) -> Fields:
        scores = detector.scores(records.x, **_told(records))
        return {"score": scores, "anomalous": scores > detector.threshold}

    return scored


def _told(records: Records) -> dict[str, Any]:
    return {"observed": records.observed, "extras": records.extras}


WAYS: dict[str, Callable[[ae.Run], Callable[[Records], Fields]]] = {
    "encode": _encode,
    "integers": _integers,
    "reconstruct": _reconstruct,
    "denoise": _reconstruct,
    "impute": _impute,
    "bound": _bound,
    "score": _score,
}
"""What a run can be asked to make of examples."""


def data_of(run: ae.Run) -> Source:
    """The split of the flags.

    Raises:
      ConfigError: there is no such split, or new data have several and none is named.
    """
    section = run.config.data
    if FLAGS.data is None:
        return _split(run.dataset(), FLAGS.split or "test")
    kind, trained_kind = FLAGS.data.partition(":")[0], (section.source or "").partition(":")[0]
    arguments = dict(section.arguments) if kind == trained_kind else {}
    taken = inspect.signature(SOURCES[kind]).parameters if kind in SOURCES.factories else {}
    undivided = 0.0 if "test_fraction" in taken else None
    fresh = {"source": FLAGS.data, "arguments": arguments, "spec": {}}
    dataset = of_section(
        dataclasses.replace(section, **fresh, test_fraction=undivided, validation_fraction=None)
    )
    present = [name for name, part in dataset.splits.items() if len(part)]
    if FLAGS.split is None and len(present) > 1:
        raise ConfigError(f"'{FLAGS.data}' has several splits: --split={' or '.join(present)}")
    return _split(dataset, FLAGS.split or present[0])


def _split(dataset: Dataset, name: str) -> Source:
    if name not in dataset.splits:
        raise ConfigError(f"--split cannot be {name!r}{nearest(name, dataset.splits)}")
    return dataset.splits[name]


def main(*ways: str) -> None:
    """Runs the command."""
    if len(ways) != 1:
        raise ConfigError(f"which one? ae-jax apply {' | '.join(WAYS)}")
    if ways[0] not in WAYS:
        raise UnknownNameError(f"nothing is called '{ways[0]}'{nearest(ways[0], WAYS)}")
    step = FLAGS.step
    run = ae.load(FLAGS.workdir, step=int(step) if step is not None and step.isdigit() else step)
    written = evaluation.write_examples(run, data_of(run), FLAGS.to, WAYS[ways[0]](run))
    print(f"{written:,} examples: {FLAGS.to}")


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, required=("workdir", "to"), positional=True)
