"""Swaps one part of a VAE at a time and compares the likelihoods of one binarised data set.

    python scripts/swap_parts.py --source=tfds:fashion_mnist --rows=vae,vamp,iaf --json=F
    python scripts/swap_parts.py --source=tfds:fashion_mnist --rows=vae,iwae --batch=32
    python scripts/swap_parts.py --hidden=128 --steps=2000 --latent=2 --latent=5 --rows=vae,sphere

Grey levels are drawn once as Bernoulli variables (NumPy's seed 0), the same for every row and seed.
Each row is the VAE of the first but for what its name says: one hidden layer each way, the same
data, steps and optimizer (Adam, cosine). A row is judged by the importance bound of so many samples
on the first test images; its difference from the VAE of the same seed is of the same images, so
that its standard error is far below the bound's. Of a latent of d numbers, `sphere` has as many
degrees of freedom (a unit vector of d + 1), `hyperspherical` as many numbers. `configs/README.md`
has the tables.
"""

import functools
import itertools
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax import bottlenecks, flows, priors, recipes, terms
from ae_jax.cli import command
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest

SOURCE = flags.DEFINE_string("source", "digits", "Data of grey levels, as `ae.data.load` takes it.")
ROWS = flags.DEFINE_list("rows", [], "Which rows, the VAE among them; empty: all.")
LATENT = flags.DEFINE_multi_integer("latent", [20], "Size of the latent; may be repeated.")
HIDDEN = flags.DEFINE_integer("hidden", 200, "Units of the hidden layer each way.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 5_000, "Of training.", lower_bound=1)
BATCH = flags.DEFINE_integer("batch", 128, "Images a step.", lower_bound=1)
RATE = flags.DEFINE_float("rate", 1e-3, "Adam's, at the start of the cosine.")
SEEDS = flags.DEFINE_integer("seeds", 2, "Seeds 0, 1, … of training.", lower_bound=1)
SAMPLES = flags.DEFINE_integer("samples", 1_000, "Of the bound.", lower_bound=1)
IMAGES = flags.DEFINE_integer("images", 1_000, "Test images that are judged.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "A file that keeps every figure; the same call goes on.")


def elbo(bottleneck: Any, **parts: Any) -> recipes.Recipe:
    """The recipe of a bottleneck, trained by the ELBO."""
    objective = terms.reconstruction() + terms.kl()
    return recipes.Recipe.from_nodes(bottleneck=bottleneck, objective=objective, **parts)


def prior(node: Any, latent: int, **parts: Any) -> recipes.Recipe:
    """The VAE with another prior."""
    return elbo(bottlenecks.gaussian(latent, node), **parts)


SWAPPED: dict[str, Callable[..., recipes.Recipe]] = {
    "vae": recipes.vae,
    "mixture": functools.partial(prior, priors.mixture(components=100)),
    "vamp": functools.partial(recipes.vamp_vae, pseudo_inputs=500),
    "realnvp": functools.partial(prior, priors.flow(flows.realnvp())),
    "spline": functools.partial(prior, priors.flow(flows.rational_quadratic_spline())),
    "maf": recipes.flow_prior_vae,
    "iaf": recipes.iaf_vae,
    "full": lambda latent, **parts: elbo(bottlenecks.full_gaussian(latent), **parts),
    "low_rank": lambda latent, **parts: elbo(bottlenecks.low_rank_gaussian(latent, 2), **parts),
    "laplace": lambda latent, **parts: elbo(bottlenecks.laplace(latent), **parts),
    "student_t": lambda latent, **parts: elbo(bottlenecks.student_t(latent), **parts),
    "sphere": lambda latent, **parts: recipes.hyperspherical_vae(latent + 1, **parts),
    "hyperspherical": recipes.hyperspherical_vae,
    "iwae": functools.partial(recipes.iwae, samples=50),
}


def binarised(source: str) -> ae.data.Dataset:
    """Each grey level drawn once; labels are kept if there are any."""
    data, rng = ae.data.load(source), np.random.default_rng(0)
    train, test = (split.read(np.arange(len(split))) for split in (data.train, data.test))
    white = train.x.max()
    for x in (train.x, test.x):
        if x.min() < 0 or x.max() > white:
            raise DataError(
                f"grey levels must lie from 0 to training's highest, {white}, got {x.min()} to "
                f"{x.max()}: --source={source} has others"
            )
    draw = lambda x: (rng.random(x.shape, np.float32) < x / np.float32(white)).astype(np.uint8)
    drawn = draw(train.x)
    return ae.data.from_arrays(drawn, test=(draw(test.x), test.extras), extras=train.extras)


def measured(name: str, latent: int, seed: int, data: ae.data.Dataset) -> dict[str, Any]:
    """One row of one seed: bounds of the images, and neighbours' accuracy of the codes."""
    network, started = ae.networks.mlp((HIDDEN.value,)), time.process_time()
    parts = {"encoder": network, "decoder": network, "likelihood": ae.likelihoods.bernoulli()}
    optimizer = {"name": "adam", "learning_rate": RATE.value, "schedule": "cosine"}
    how = {"optimizer": optimizer, "batch_size": BATCH.value, "progress": False}
    run = ae.fit(
        SWAPPED[name](latent, **parts),
        data,
        steps=STEPS.value,
        seed=seed,
        eval_every=STEPS.value,
        **how,
    )
    spent = time.process_time() - started
    test = data.test.read(np.arange(min(IMAGES.value, len(data.test))))
    bound = run.log_likelihood(test.x, samples=SAMPLES.value, seed=0).astype(np.float64)
    return {
        "row": name,
        "latent": latent,
        "seed": seed,
        "cpu": round(spent),
        "neg_elbo": run.evaluate(data.test).get("neg_elbo", np.nan),
        "accuracy": accuracy(run, data, test),
        "bound": bound.round(3).tolist(),
    }


def accuracy(run: ae.Run, data: ae.data.Dataset, test: Any) -> float:
    """How many labels the 5 nearest codes of at most 10,000 training images tell."""
    if "label" not in test.extras:
        return np.nan
    from sklearn.neighbors import KNeighborsClassifier

    train = data.train.read(np.arange(min(10_000, len(data.train))))
    codes = [run.encode(each.x).reshape(len(each.x), -1) for each in (train, test)]
    judge = KNeighborsClassifier(5).fit(codes[0], train.extras["label"])
    return float(judge.score(codes[1], test.extras["label"]))


def error(values: Any) -> float:
    """The standard error of a mean."""
    return float(np.std(values) / np.sqrt(len(values)))


def above(row: dict[int, Any], plain: dict[int, Any]) -> str:
    """By how much a row's bound is above the VAE's, over the seeds of both."""
    seeds = [seed for seed in row if seed in plain]
    if not seeds or row is plain:
        return "–"
    apart = [np.subtract(row[seed]["bound"], plain[seed]["bound"]) for seed in seeds]
    mean, each = np.mean(apart, axis=0), ", ".join(f"{part.mean():+.2f}" for part in apart)
    return f"{mean.mean():+.2f} ± {error(mean):.2f} ({each})"


def table(figures: list[dict[str, Any]]) -> str:
    """Markdown: means over seeds; ± is the standard error over images."""
    lines = ["| latent | row | log p(x), nats | above the VAE | -ELBO | accuracy | CPU s |"]
    lines.append("|" + "---|" * 7)
    rows: dict[tuple[int, str], dict[int, Any]] = {}
    for each in figures:
        rows.setdefault((each["latent"], each["row"]), {})[each["seed"]] = each
    for (latent, name), row in rows.items():
        bound = np.mean([each["bound"] for each in row.values()], axis=0)
        mean = lambda key, row=row: np.mean([each[key] for each in row.values()])
        cells = [str(latent), name, f"{bound.mean():.2f} ± {error(bound):.2f}"]
        cells += [above(row, rows.get((latent, "vae"), {})), f"{mean('neg_elbo'):.2f}"]
        cells += [f"{mean('accuracy'):.3f}", f"{mean('cpu'):.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kept_figures(path: pathlib.Path | None, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """What the file holds, which must be of the same settings."""
    if path is None or not path.exists():
        return []
    figures = [json.loads(line) for line in path.read_text().splitlines()]
    for name, value in settings.items():
        for each in figures:
            if each["settings"][name] != value:
                raise ConfigError(
                    f"'{path}' has figures of --{name}={each['settings'][name]}, this call has "
                    f"--{name}={value}: give --json another file"
                )
    return figures


def main() -> None:
    """Trains what is not kept yet, and prints the table."""
    for name in ROWS.value:
        if name not in SWAPPED:
            raise UnknownNameError(f"no row is called '{name}'{nearest(name, SWAPPED)}")
    path = pathlib.Path(JSON.value) if JSON.value else None
    held = (SOURCE, HIDDEN, STEPS, BATCH, RATE, SAMPLES, IMAGES)
    settings = {flag.name: flag.value for flag in held}
    figures = kept_figures(path, settings)
    known = {(each["row"], each["latent"], each["seed"]) for each in figures}
    data = binarised(SOURCE.value)
    wanted = itertools.product(range(SEEDS.value), LATENT.value, ROWS.value or SWAPPED)
    for seed, latent, name in wanted:
        if (name, latent, seed) in known:
            continue
        figures.append({"settings": settings, **measured(name, latent, seed, data)})
        nats = np.mean(figures[-1]["bound"])
        print(f"{name} of {latent}, seed {seed}: log p(x) at least {nats:.2f} nats", flush=True)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps(figures[-1]) + "\n")
    print(table(figures))


if __name__ == "__main__":
    command.main(main)
