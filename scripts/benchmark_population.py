"""Times a population against its members one after the other: examples/s of all members.

python scripts/benchmark_population.py --members=32 --repeats=3

Variational autoencoders 784-200-10 on random bytes of the shape of Fashion-MNIST, batch 64: one by
one through `ae.fit`, side by side (vmap), and in turn inside one program (map). The three take
turns `repeats` times; what stands last is each one's median. The first dispatch, which compiles, is
left out.
"""

import statistics

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax.cli import command

FLAGS = flags.FLAGS


def recipe() -> ae.recipes.Recipe:
    """One hidden layer of 200 units each way, ten latents."""
    network = ae.networks.mlp((200,))
    return ae.recipes.vae(10, encoder=network, decoder=network)


def rate(way: str, x: np.ndarray) -> float:
    """Examples/s of all members together, or of one alone, which is that of one after the other."""
    options = {"test": x[:64], "batch_size": 64, "progress": False, "log_every": 10**6}
    options |= {"eval_every": 10**6, "checkpoint_every": 10**6}
    steps = FLAGS.steps
    if way == "alone":
        run = ae.fit(recipe(), x, steps=steps * FLAGS.members, **options)
        return run.summary["examples_per_second"]
    vary = {"training.seed": range(FLAGS.members)} if FLAGS.seeds else rates()
    found = ae.fit_population(recipe(), x, vary=vary, form=way, steps=steps, **options)
    return found.summary["examples_per_second"]


def rates() -> dict[str, list[float]]:
    """Learning rates, so that all members see the same batches."""
    return {"optimizer.learning_rate": list(np.geomspace(1e-4, 3e-3, FLAGS.members))}


def main() -> None:
    """Runs the benchmark."""
    x = np.random.default_rng(0).integers(0, 256, (10_000, 28, 28, 1), dtype=np.uint8)
    found: dict[str, list[float]] = {way: [] for way in FLAGS.ways}
    for _ in range(FLAGS.repeats):
        for way, row in found.items():
            row.append(rate(way, x))
            print(f"{way:<6} {row[-1]:>12,.0f} examples/s", flush=True)
    for way, row in found.items():
        print(f"{way:<6} median {statistics.median(row):>10,.0f}, best {max(row):>10,.0f}")


if __name__ == "__main__":
    flags.DEFINE_integer("members", 32, "How many members.")
    flags.DEFINE_integer("steps", 30, "Steps of each member.")
    flags.DEFINE_integer("repeats", 3, "How often each way is timed.")
    flags.DEFINE_list("ways", ["alone", "vmap", "map"], "What is timed.")
    flags.DEFINE_bool("seeds", False, "Whether seeds vary, and with them the order of the data.")
    command.main(main)
