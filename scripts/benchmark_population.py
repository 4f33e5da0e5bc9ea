"""Times a population against its members one after the other: examples/s of all members.

python scripts/benchmark_population.py --members=32 --repeats=3

Variational autoencoders 784-200-10 on random bytes of the shape of Fashion-MNIST, batch 64: one by
one through `ae.fit`, side by side (vmap), and in turn inside one program (map). The three take
turns `repeats` times; what stands last is each one's median. The first dispatch, which compiles, is
left out.
"""

import statistics
import time

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax.cli import command

FLAGS = flags.FLAGS


def recipe() -> ae.recipes.Recipe:
    """One hidden layer of 200 units each way, ten latents."""
    network = ae.networks.mlp((200,))
    return ae.recipes.vae(10, encoder=network, decoder=network)


def rate(way: str, x: np.ndarray) -> tuple[float, float]:
    """Examples a second, and a second of CPU, of all members or of one alone.

    One alone has the rate of one after the other. Seconds of CPU are those of the second half, in
    which nothing is compiled; they say more than the clock's on a machine that others use as well.
    """
    alone = way == "alone"
    steps = FLAGS.steps * (FLAGS.members if alone else 1)
    marks: dict[int, float] = {}
    note = lambda point: marks.setdefault(point.step, time.process_time())
    options = {"test": x[:64], "batch_size": 64, "progress": False, "callbacks": [note]}
    options |= {"log_every": steps // 2, "eval_every": 10**6, "checkpoint_every": 10**6}
    if alone:
        found = ae.fit(recipe(), x, steps=steps, **options)
    else:
        vary = {"training.seed": range(FLAGS.members)} if FLAGS.seeds else rates()
        found = ae.fit_population(recipe(), x, vary=vary, form=way, steps=steps, **options)
    seconds = marks[steps] - marks[steps // 2]
    examples = FLAGS.steps * FLAGS.members * 64 / 2
    return found.summary["examples_per_second"], examples / seconds


def rates() -> dict[str, list[float]]:
    """Learning rates, so that all members see the same batches."""
    return {"optimizer.learning_rate": list(np.geomspace(1e-4, 3e-3, FLAGS.members))}


def main() -> None:
    """Runs the benchmark."""
    x = np.random.default_rng(0).integers(0, 256, (10_000, 28, 28, 1), dtype=np.uint8)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in FLAGS.ways}
    for _ in range(FLAGS.repeats):
        for way, row in found.items():
            row.append(rate(way, x))
            print(f"{way:<6} {row[-1][0]:>10,.0f} /s, {row[-1][1]:>10,.0f} /s of CPU", flush=True)
    for way, row in found.items():
        clock, cpu = (statistics.median(column) for column in zip(*row, strict=True))
        print(f"{way:<6} median {clock:>10,.0f} /s, {cpu:>10,.0f} /s of CPU")


if __name__ == "__main__":
    flags.DEFINE_integer("members", 32, "How many members.")
    flags.DEFINE_integer("steps", 60, "Steps of each member.")
    flags.DEFINE_integer("repeats", 3, "How often each way is timed.")
    flags.DEFINE_list("ways", ["alone", "vmap", "map"], "What is timed.")
    flags.DEFINE_bool("seeds", False, "Whether seeds vary, and with them the order of the data.")
    command.main(main)
