"""Writes samples, interpolations and traversals of a run as PNG and NPZ, text as TXT too.

ae-jax sample --workdir=runs/vae_digits --num=64 --seed=0

A model that takes a condition samples under those of test examples, class by class. Samples are
means of p(x | z) or, with --observations, draws from it; of a decoder that reads its own past, as
one of text may, they are draws, position by position, unless --noobservations asks otherwise.

ae-jax sample --workdir=runs/autoencoder_digits --sampler=gaussian_mixture

Codes come from the prior or, with --sampler, from a density of the training codes: the one that the
run keeps under this name, else one fitted now and kept. A model without a prior needs it. Where
codes are quantised, --sampler=code_transformer is one of their integers.
"""

import io
import sys
from typing import Any

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax import _workdir as storage
from ae_jax.cli import command
from ae_jax.data.source import sampled
from ae_jax.errors import ConfigError, UnknownNameError, nearest
from ae_jax.runs import gallery
from ae_jax.runs import walks as latents

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("workdir", None, "The run.")
    flags.DEFINE_integer("num", 64, "How many samples.")
    flags.DEFINE_integer("seed", 0, "Of the samples.", 0, 2**32 - 1)
    flags.DEFINE_bool(
        "observations", None, "Whether samples are draws from p(x | z) rather than its means."
    )
    flags.DEFINE_string(
        "sampler", None, "A sampler kept with the run, or the name of one to fit on its codes."
    )
    flags.DEFINE_string("condition", None, "The extra that a sampler fitted now is to depend on.")
    flags.DEFINE_bool("refit", False, "Whether to fit the sampler anew where one is kept.")
    flags.DEFINE_string("path", "linear", "Of interpolations: 'linear' or 'spherical'.")


WALKS = 8  # interpolations
SEEN = 1024  # test examples whose codes tell how far traversals go


def conditions(test: ae.data.Source) -> dict[str, np.ndarray]:
    """The extras to sample under: those of test examples, in turn, by label where there is one."""
    fields = dict(test.read(np.arange(FLAGS.num) % len(test)).extras)
    order = np.argsort(fields["label"], kind="stable") if "label" in fields else slice(None)
    return {name: value[order] for name, value in fields.items()}


def masked(records: ae.data.Records) -> np.ndarray:
    """Examples, of which missing entries are masked."""
    return records.x if records.observed is None else np.ma.array(records.x, mask=~records.observed)


def sampler_of(run: ae.Run) -> ae.samplers.Fitted | None:
    """The sampler of the flags, kept with the run from now on."""
    name, kept = FLAGS.sampler, ae.samplers.names(run)
    if name is None:
        return None
    if name in kept and not FLAGS.refit:
        sampler = ae.samplers.load(run, name)
        if FLAGS.condition not in (None, sampler.condition):
            raise ConfigError(
                f"the sampler '{name}' that the run keeps depends on {sampler.condition}, not on "
                f"--condition={FLAGS.condition}: fit another in its place with --refit"
            )
        return sampler
    known = ae.samplers.SAMPLERS.factories
    if name not in known and ":" not in name:
        known = nearest(name, {*kept, *known})
        raise UnknownNameError(f"the run keeps no sampler '{name}' and none is called so{known}")
    return ae.samplers.fit(run, None, name, condition=FLAGS.condition)


def reach(run: ae.Run, test: ae.data.Source) -> dict[str, Any]:
    """The middle and unit of traversals: the prior's, else mean and deviation of test codes."""
    if run.has_prior:
        return {}
    codes = run.encode(sampled(test, SEEN))
    return {"loc": codes.mean(axis=0), "scale": codes.std(axis=0)}


def walks(run: ae.Run, test: ae.data.Source) -> dict[str, np.ndarray]:
    """Interpolations and traversals: of test examples, or of codes of the prior without encoder."""
    shown = np.resize(gallery.spread(len(test), 2 * WALKS), 2 * WALKS)
    first, last, one = (test.read(index) for index in (shown[::2], shown[1::2], shown[:1]))
    extras = {name: value[0] for name, value in one.extras.items()}
    if not run.has_encoder:
        told = {name: np.concatenate([first.extras[name], last.extras[name]]) for name in extras}
        z = run.sample_codes(2 * WALKS, FLAGS.seed, extras=told)
        along = latents.between(run, z[:WALKS], z[WALKS:], extras=first.extras, path=FLAGS.path)
        return {"interpolations": along, "traversals": latents.around(run, z[0], extras=extras)}
    ends = (first.extras, last.extras)
    along = latents.interpolations(run, masked(first), masked(last), extras=ends, path=FLAGS.path)
    moved = latents.traversals(run, masked(one)[0], extras=extras, **reach(run, test))
    return {"interpolations": along, "traversals": moved}


def main() -> None:
    """Runs the command."""
    run = ae.load(FLAGS.workdir)
    sampler = sampler_of(run)
    test = run.dataset().test
    sets = walks(run, test)
    one = test.read(np.zeros(1, int))
    titles, drawn = gallery.captions(run, one.extras), FLAGS.observations
    if drawn is None:
        drawn = gallery.is_autoregressive(run, one.extras)
    elif titles and not drawn:
        titles["samples"] = f"samples, {gallery.GREEDY}"
    if run.has_prior or sampler is not None:
        name = "samples" if sampler is None else f"samples_{sampler.name}"
        sets[name] = run.sample(
            FLAGS.num, FLAGS.seed, drawn, extras=conditions(test), sampler=sampler
        )
        titles.setdefault(name, titles.get("samples", name))
    else:
        fix = "fit a sampler of its codes, --sampler=gaussian_mixture"
        print(f"no samples: this model has no prior to draw codes from; {fix}", file=sys.stderr)
    folder = storage.existing_workdir(FLAGS.workdir) / storage.FIGURES
    along = {
        "interpolations": np.linspace(0, 1, latents.STEPS).tolist(),
        "traversals": np.linspace(-latents.EXTENT, latents.EXTENT, latents.STEPS).tolist(),
    }
    for name, values in sets.items():
        if name in along:
            gallery.show_walk(run, folder, name, values, along[name], titles.get(name))
        else:
            gallery.show(run, folder, name, {name: values}, titles.get(name))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, values)
        (folder / f"{name}.npz").write_bytes(buffer.getvalue())
        print(folder / f"{name}.png")


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, required=("workdir",))
