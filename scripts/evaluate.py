"""Evaluates a run on the test split of its own data; prints a table, writes evaluation.json.

python scripts/evaluate.py --workdir=runs/vae_digits
"""

import numpy as np
from absl import flags

import ae_jax as ae
from ae_jax import commands, config, storage
from ae_jax.data.source import pieces

WORKDIR = flags.DEFINE_string("workdir", None, "The run.")
SAMPLES = flags.DEFINE_integer("samples", 64, "Importance samples of the bound on log p(x).")
STEP = flags.DEFINE_string("step", None, "Checkpoint: a step, or 'best'; the newest by default.")


def main() -> None:
    """Runs the command."""
    step = STEP.value
    step = int(step) if step is not None and step.isdigit() else step
    run = ae.load(WORKDIR.value, step=step)
    test = run.dataset().test
    metrics = run.evaluate(test)
    if run.has_prior:
        bounds = [
            run.log_likelihood(
                found.x, SAMPLES.value, seed=i, observed=found.observed, extras=found.extras
            )
            for i, found in enumerate(pieces(test))
        ]
        metrics[f"neg_log_likelihood_k{SAMPLES.value}"] = -float(np.concatenate(bounds).mean())
    for name, value in metrics.items():
        print(f"{name:<28} {value:12.5g}")
    path = storage.existing_workdir(WORKDIR.value) / storage.EVALUATION
    result = {
        "split": "test",
        "examples": len(test),
        "step": STEP.value,
        "preprocessing": config.to_plain(run.config["data"]["preprocessing"]),
        "metrics": metrics,
    }
    storage.write_json(path, result)
    print(f"{path}")


if __name__ == "__main__":
    commands.main(main, required=("workdir",))
