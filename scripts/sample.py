"""Writes samples, interpolations and traversals of a run as PNG and NPZ.

python scripts/sample.py --workdir=runs/vae_digits --num=64 --seed=0
"""

import io
import sys

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax import commands, figures, latents, storage

WORKDIR = flags.DEFINE_string("workdir", None, "The run.")
NUM = flags.DEFINE_integer("num", 64, "How many samples.")
SEED = flags.DEFINE_integer("seed", 0, "Of the samples.")


def main() -> None:
    """Runs the command."""
    run = ae.load(WORKDIR.value)
    x = run.dataset().test.read(np.arange(16)).x
    sets = {
        "interpolations": latents.interpolations(run, x[:8], x[8:16]),
        "traversals": latents.traversals(run, x[0]),
    }
    if run.has_prior:
        sets["samples"] = run.sample(NUM.value, seed=SEED.value)
    else:
        print("no samples: this model has no prior to draw codes from", file=sys.stderr)
    folder = storage.existing_workdir(WORKDIR.value) / storage.FIGURES
    low, high = run.display_range
    for name, values in sets.items():
        figures.examples_figure(folder / f"{name}.png", {name: values}, low, high, name)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, values)
        (folder / f"{name}.npz").write_bytes(buffer.getvalue())
        print(folder / f"{name}.png")


if __name__ == "__main__":
    commands.main(main, required=("workdir",))
