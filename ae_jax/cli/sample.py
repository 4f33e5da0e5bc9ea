"""Writes samples, interpolations and traversals of a run as PNG and NPZ, text as TXT too.

ae-jax sample --workdir=runs/vae_digits --num=64 --seed=0

A model that takes a condition samples under those of test examples, class by class. Samples are
means of p(x | z) or, with --observations, draws from it; of a decoder that reads its own past, as
one of text may, they are draws, position by position, unless --noobservations asks otherwise.
"""

import io
import sys

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax import _workdir as storage
from ae_jax.cli import command
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


WALKS = 8  # interpolations


def conditions(test: ae.data.Source) -> dict[str, np.ndarray]:
    """The extras to sample under: those of test examples, in turn, by label where there is one."""
    found = dict(test.read(np.arange(FLAGS.num) % len(test)).extras)
    order = np.argsort(found["label"], kind="stable") if "label" in found else slice(None)
    return {name: value[order] for name, value in found.items()}


def masked(found: ae.data.Records) -> np.ndarray:
    """Examples, of which missing entries are masked."""
    return found.x if found.observed is None else np.ma.array(found.x, mask=~found.observed)


def main() -> None:
    """Runs the command."""
    run = ae.load(FLAGS.workdir)
    test = run.dataset().test
    shown = np.resize(gallery.spread(len(test), 2 * WALKS), 2 * WALKS)
    first, last, one = (test.read(index) for index in (shown[::2], shown[1::2], shown[:1]))
    ends = (first.extras, last.extras)
    own = {name: value[0] for name, value in one.extras.items()}
    sets = {
        "interpolations": latents.interpolations(run, masked(first), masked(last), extras=ends),
        "traversals": latents.traversals(run, masked(one)[0], extras=own),
    }
    titles, drawn = gallery.captions(run, one.extras), FLAGS.observations
    if drawn is None:
        drawn = gallery.is_autoregressive(run, one.extras)
    elif titles and not drawn:
        titles["samples"] = f"samples, {gallery.GREEDY}"
    if run.has_prior:
        sets["samples"] = run.sample(
            FLAGS.num, seed=FLAGS.seed, observations=drawn, extras=conditions(test)
        )
    else:
        print("no samples: this model has no prior to draw codes from", file=sys.stderr)
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
