"""Evaluates a run on the test split of its own data; prints a table, writes evaluation.json.

How codes of a codebook and sparse units are used, and the variance left unexplained; where the
model has a prior, the bound on log p(x), bits a dimension, rate and distortion; where it has a
density of its codes, the use of its latents: active units, mutual information and the KL of each
dimension, with figures/latents.png.

ae-jax evaluate --workdir=runs/vae_digits
ae-jax evaluate --workdir=… --probe=label --corruption='{"name": "gaussian", "std": 0.3}'

Then what the run is good for, each use that fits it beside what one would use otherwise: reduction
(PCA, NMF, UMAP), generation (training examples), denoising (scikit-image), imputation (neighbours,
the mean), scarce_labels (the same network untrained) and disentanglement (of data with known
factors). --metrics chooses among them,
as --metrics=reduction,generation, and --metrics= leaves them out.

A denoising model is also judged by the PSNR of what it makes of corrupted examples; --corruption
asks the same of any model, and --probe how well a linear classifier reads a label from the code.
--anomalies=label judges each anomaly score that fits by a label that is 1 for anomalies, and
draws where the strangest examples are badly reconstructed, figures/anomalies.png.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax import _workdir as storage
from ae_jax import config, evaluation, figures
from ae_jax.cli import command, uses
from ae_jax.data.source import readable, sampled
from ae_jax.errors import PartError, WorkdirError
from ae_jax.training import terminal

FLAGS = flags.FLAGS
SHOWN = 8  # anomalies


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("workdir", None, "The run.")
    flags.DEFINE_integer("samples", 64, "Importance samples of the bound on log p(x).")
    flags.DEFINE_string("step", None, "Checkpoint: a step, or 'best'; the newest by default.")
    flags.DEFINE_string("probe", None, "The entry of extras that a linear probe is to read.")
    flags.DEFINE_list(
        "metrics", None, f"Uses to measure: {', '.join(uses.USES)}; None: all fitting."
    )
    flags.DEFINE_string("anomalies", None, "The entry of extras that is 1 for anomalies, else 0.")
    flags.DEFINE_string(
        "corruption", None, "A config node in JSON, of what test examples are corrupted by as well."
    )


def under_corruption(run: ae.Run, dataset: ae.data.Dataset) -> dict[str, float]:
    """PSNR of denoised test images, and the linear probe, where they apply or are asked for."""
    node = run.config.corruption
    if FLAGS.corruption is not None:
        try:
            node = json.loads(FLAGS.corruption)
        except json.JSONDecodeError as error:
            raise ae.errors.ConfigError(
                f"--corruption must be a config node in JSON, got {FLAGS.corruption!r}: {error}"
            ) from None
    corrupts = node is not None and node != {"name": "none"}
    measured = {}
    if corrupts and figures.is_image(run.spec.event_shape):
        measured |= evaluation.denoising(run, dataset.test, node)
    if FLAGS.probe is not None:
        splits = dataset.train, dataset.test
        noise = node if corrupts else None
        measured |= evaluation.linear_probe(run, *splits, FLAGS.probe, noise)
    return measured


def usage(run: ae.Run, test: ae.data.Source) -> ae.evaluation.Usage | None:
    """The use of the latents; None for codes without a density, which have none to collapse."""
    if not run.has_encoder:
        return None
    try:
        return run.latent_usage(test)
    except PartError:
        return None


def draw_anomalies(run: ae.Run, dataset: ae.data.Dataset, path: Any) -> None:
    """The test examples least like training's, above where each of them is badly reconstructed."""
    test = readable(sampled(dataset.test).records)
    scores = evaluation.anomaly.detector(run, dataset.train).scores(test.x, extras=test.extras)
    order = np.argsort(-scores)[:SHOWN]
    x, extras = test.x[order], {name: value[order] for name, value in test.extras.items()}
    heat = evaluation.anomaly.heat_map(run, x, extras=extras)
    if heat.shape != x.shape:  # padded or cropped: there is nothing to lay beside it
        return
    low, high = run.display_range
    rows = heat.reshape(len(heat), -1)
    of_each = lambda value: value.reshape(-1, *[1] * (heat.ndim - 1))
    least, most = of_each(rows.min(axis=1)), of_each(rows.max(axis=1))
    where = low + (high - low) * (heat - least) / np.where(most > least, most - least, 1)
    figures.examples_figure(path, {"test": x, "nats": where}, low, high, "least like training")


def main() -> None:
    """Runs the command."""
    step = FLAGS.step
    step = int(step) if step is not None and step.isdigit() else step
    run = ae.load(FLAGS.workdir, step=step)
    dataset = run.dataset()
    wanted = uses.chosen(run, dataset, FLAGS.metrics)
    metrics, latents, notes = _measured(run, dataset)
    for name, value in metrics.items():
        note = f"  {notes[name]}" if notes.get(name) else ""
        print(f"{name:<28} {value:12.5g}{note}")
    tables = {}
    for name, use in wanted.items():
        tables[name] = use.measure(run, dataset)
        print("", f"{name}:", *uses.lines(tables[name]), sep="\n")
    result = {
        "split": "test",
        "examples": len(dataset.test),
        "step": FLAGS.step,
        "preprocessing": config.to_plain(run.config.data.preprocessing),
        "metrics": metrics,
        "latents": None if latents is None else latents.to_dict(),
        "uses": tables,
    }
    workdir = storage.existing_workdir(FLAGS.workdir)
    try:
        with storage.writing(workdir / storage.EVALUATION):
            _draw(run, dataset, workdir / storage.FIGURES, latents, wanted, tables)
            storage.write_json(workdir / storage.EVALUATION, result)
    except WorkdirError as error:  # of a run that others keep, say: the table is what was asked for
        terminal.say(f"nothing is kept: {error}")
    else:
        print(f"{workdir / storage.EVALUATION}")


def _measured(
    run: ae.Run, dataset: ae.data.Dataset
) -> tuple[dict[str, float], evaluation.Usage | None, dict[str, str | None]]:
    """Metrics of the test split by name, how the latent is used, and notes on some metrics."""
    test = dataset.test
    metrics = run.evaluate(test)
    if run.has_encoder:
        metrics |= under_corruption(run, dataset) | evaluation.code_metrics(run, test)
    if FLAGS.anomalies is not None:
        metrics |= evaluation.anomaly.judged(run, dataset.train, test, FLAGS.anomalies)
    notes = {}
    if run.has_bound:
        bound = evaluation.likelihood_bound(run, test, FLAGS.samples)
        metrics |= bound.to_dict() | evaluation.rate_distortion(run, test).to_dict()
        notes["bits_per_dim"] = bound.note
    latents = usage(run, test)
    if latents is not None:
        shares = latents.to_dict()
        metrics.setdefault("kl", shares["kl"])
        metrics |= {name: shares[name] for name in ("active_units", "units", "mutual_information")}
        notes["mutual_information"] = latents.information_note
    return metrics, latents, notes


def _draw(
    run: ae.Run,
    dataset: ae.data.Dataset,
    folder: Any,
    latents: evaluation.Usage | None,
    wanted: Mapping[str, uses.Use],
    tables: Mapping[str, Any],
) -> None:
    """Writes the figures of what was measured."""
    if latents is not None:
        figures.usage_figure(folder / "latents.png", latents.kl, latents.active)
    if FLAGS.anomalies is not None:
        draw_anomalies(run, dataset, folder / "anomalies.png")
    for name, use in wanted.items():
        if use.draw is not None:
            use.draw(run, dataset, folder, tables[name])


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, required=("workdir",))
