"""Evaluates a run on the test split of its own data; prints a table, writes evaluation.json.

python scripts/evaluate.py --workdir=runs/vae_digits
"""

from absl import flags

import ae_jax as ae
from ae_jax import commands, storage

WORKDIR = flags.DEFINE_string("workdir", None, "The run.")
SAMPLES = flags.DEFINE_integer("samples", 64, "Importance samples of the bound on log p(x).")
STEP = flags.DEFINE_string("step", None, "Checkpoint: a step, or 'best'; the newest by default.")


def main() -> None:
    """Runs the command."""
    step = STEP.value
    step = int(step) if step is not None and step.isdigit() else step
    run = ae.load(WORKDIR.value, step=step)
    x = run.dataset().test.x
    metrics = run.evaluate()
    if run.has_prior:
        bound = run.log_likelihood(x, samples=SAMPLES.value)
        metrics[f"neg_log_likelihood_k{SAMPLES.value}"] = -float(bound.mean())
    for name, value in metrics.items():
        print(f"{name:<28} {value:12.5g}")
    path = storage.existing_workdir(WORKDIR.value) / storage.EVALUATION
    result = {"split": "test", "examples": len(x), "step": STEP.value, "metrics": metrics}
    storage.write_json(path, result)
    print(f"{path}")


if __name__ == "__main__":
    commands.main(main, required=("workdir",))
