"""Quantisers of about 16,384 codes at equal steps: codes in use, their perplexity, PSNR.

    python scripts/prepare_data.py --from_debian
    python scripts/benchmark_quantisers.py --json=runs/quantisers.jsonl

Fashion-MNIST as 4 × 4 codes: one convolution of 7 × 7 pixels each way at stride 7, 128 channels,
batch normalisation, one dense layer to and from the code at each position; Adam at 3e-3 on a
cosine, batches of 64. FSQ has the 8 · 8 · 8 · 6 · 5 levels that its paper advises for 2¹⁴; entropy
terms have a weight of 1, beside a squared error halved and summed over pixels. Use is counted over
the test images, 160,000 vectors or ten a code, and over all 70,000 images, 68 a code: what is not
seen in so few counts as unused. The same command goes on where it was cut off.

Expected: the table of configs/README.md. `sim_vq` took 34 seconds of CPU, the first three 10 to 20;
`ibq`, which has all codes in its gradient, had not ended after 219.
"""

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax.cli import command
from ae_jax.errors import UnknownNameError, nearest

SOURCE = flags.DEFINE_string("source", "tfds:fashion_mnist", "Images of 28 × 28.")
ROWS = flags.DEFINE_list("rows", [], "Only those, by name; all by default.")
SEEDS = flags.DEFINE_integer("seeds", 3, "Seeds 0, 1, …", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 1_000, "Of each run.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "Where figures are kept; the same command goes on.")

CODES, GRID = 16_384, (4, 4)
RECIPES: dict[str, Callable[..., ae.recipes.Recipe]] = {
    "fsq": lambda **parts: ae.recipes.fsq_vae((*GRID, 5), levels=(8, 8, 8, 6, 5), **parts),
    "lfq": lambda **parts: ae.recipes.lfq_vae((*GRID, 14), entropy=1.0, **parts),
    "bsq": lambda **parts: ae.recipes.bsq_vae((*GRID, 14), entropy=1.0, **parts),
    "sim_vq": lambda **parts: ae.recipes.sim_vq_vae((*GRID, 8), num_codes=CODES, **parts),
    "vq": lambda **parts: ae.recipes.vq_vae((*GRID, 8), num_codes=CODES, decay=None, **parts),
    "vq_averages": lambda **parts: ae.recipes.vq_vae((*GRID, 8), num_codes=CODES, **parts),
    "rotation": lambda **parts: ae.recipes.rotation_vq_vae((*GRID, 8), num_codes=CODES, **parts),
    "ibq": lambda **parts: ae.recipes.ibq_vae((*GRID, 8), num_codes=CODES, **parts),
}


def measured(name: str, data: Any, seed: int) -> dict[str, Any]:
    """One quantiser trained, and the codes of test and training images counted."""
    layer = {"kernel": 7, "stride": 7, "normalisation": "batch"}
    parts = {"encoder": ae.networks.conv((128,), **layer)}
    parts["decoder"] = ae.networks.deconv((128,), **layer)
    optimizer = {"name": "adam", "learning_rate": 3e-3, "schedule": "cosine"}
    how = {"batch_size": 64, "optimizer": optimizer, "progress": False, "eval_every": 10**9}
    run = ae.fit(RECIPES[name](**parts), data, steps=STEPS.value, seed=seed, **how)
    x = data.test.read(np.arange(len(data.test))).x
    numbers = run.codes(x)
    again = np.asarray(run.decode_codes(numbers), np.float64)
    errors = np.mean(((again - x) / 255) ** 2, axis=tuple(range(1, x.ndim)))
    train = run.code_use(data.train)
    test = ae.evaluation.code_use(numbers, train.size)
    return {
        "codes": train.size,
        "used": int(test.used[0]),
        "used_of_all": len(np.union1d(test.numbers[0], train.numbers[0])),
        "perplexity": float(test.perplexity[0]),
        "commonest": float(test.counts[0].max() / numbers.size),
        "psnr": float(np.mean(-10 * np.log10(errors))),
    }


def kept() -> Iterator[dict[str, Any]]:
    """What earlier commands measured."""
    file = pathlib.Path(JSON.value) if JSON.value else None
    if file is not None and file.exists():
        yield from map(json.loads, file.read_text().splitlines())


def table(rows: list[dict[str, Any]]) -> str:
    """Means and deviations over seeds, a line for each quantiser."""
    lines = ["quantiser      seeds   test images %   all images %   perplexity        PSNR, dB"]
    for name in RECIPES:
        own = [row for row in rows if row["name"] == name and row["steps"] == STEPS.value]
        if own:
            columns = [
                [100 * row["used"] / row["codes"] for row in own],
                [100 * row["used_of_all"] / row["codes"] for row in own],
                [row["perplexity"] for row in own],
                [row["psnr"] for row in own],
            ]
            cells = [f"{np.mean(c):9.1f} ± {np.std(c):.1f}" for c in columns]
            lines.append(f"{name:<14} {len(own):>5}   " + "  ".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Measures what is missing and prints the table."""
    for name in ROWS.value:
        if name not in RECIPES:
            raise UnknownNameError(f"no row is called '{name}'{nearest(name, RECIPES)}")
    rows = list(kept())
    done = {(row["name"], row["seed"], row["steps"]) for row in rows}
    data = ae.data.load(SOURCE.value)
    for seed in range(SEEDS.value):
        for name in ROWS.value or RECIPES:
            if (name, seed, STEPS.value) in done:
                continue
            what = {"name": name, "seed": seed, "steps": STEPS.value}
            rows.append({**what, **measured(name, data, seed)})
            print(json.dumps(rows[-1]), flush=True)
            if JSON.value:
                with pathlib.Path(JSON.value).open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    command.main(main)
