"""ae_jax itself: the loop that `fit` runs, engine and dispatch included."""

import os
import pathlib
from typing import Any

import jax
import numpy as np

import ae_jax as ae
from ae_jax.runs.planning import prepare
from ae_jax.training.loop import Loop
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.reporting import Reporter
from peers import admission as admission_lib
from peers.admission import Admission
from peers.trainer import PRECISIONS, Job, Trainer
from peers.workloads import Sizes, Workload, find

ENGINES = {"device": "resident", "host": "streaming"}
FOREVER = 2**30


def prepared(folder: str) -> ae.data.Dataset:
    """The data that every peer reads, as a source that configs can name."""
    own = lambda name: ae.data.Arrays(np.load(pathlib.Path(folder) / name))
    return ae.data.Dataset(own(admission_lib.TRAIN), own(admission_lib.TEST))


def config(
    row: Workload, sizes: Sizes, folder: str | os.PathLike, precision: str = "float32"
) -> dict[str, Any]:
    """A workload as a config, on data that `admission.prepare` wrote."""
    made = ae.config.for_recipe(row.recipe(sizes))
    made["data"] |= {
        "source": f"{__name__}:{prepared.__name__}",
        "arguments": {"folder": str(folder)},
        "preprocessing": {"name": "scale", "low": 0.0, "high": row.scale},
    }
    made["optimizer"]["learning_rate"] = row.learning_rate
    made["training"] |= {"batch_size": sizes.batch_size, "steps": FOREVER}
    made["training"] |= dict.fromkeys(("log_every", "eval_every", "checkpoint_every"), FOREVER)
    made["training"]["compute_dtype"] = PRECISIONS[precision].compute
    made["parallel"]["devices"] = 1
    return made


def start(job: Job) -> Loop:
    """The loop of a run of a job's workload, on one device, that logs and saves nothing."""
    row, sizes = find(job.workload, job.size)
    made = config(row, sizes, job.folder, job.precision)
    made["data"]["engine"] = ENGINES[job.regime]
    made["training"] |= {"seed": job.seed, "steps_per_dispatch": job.steps_per_call or None}
    train = admission_lib.train_size(job.folder)
    made["training"]["eval_every"] = train // sizes.batch_size  # dispatches end with epochs
    plan = prepare(made)
    state = jax.jit(plan.init)(jax.random.key(job.seed))
    return Loop(plan, state, 0, Reporter(None, 0, FOREVER, (), progress=False))


def build(job: Job) -> Trainer:
    """ae_jax's Trainer; a call is a dispatch."""
    row, _ = find(job.workload, job.size)
    loop = start(job)

    def advance() -> int:
        before = loop.step
        loop.dispatch()
        return loop.step - before

    def replay(admission: Admission) -> list[float]:
        """Ten dispatches of a step; batches and noise are those of the run itself."""
        losses = []
        for _ in range(len(admission.losses)):
            loop.length, loop.fresh = 1, True
            loop.dispatch()
            losses.append(float(parallel.fetch(loop.totals)["loss"]))
        return losses

    def evaluate() -> float:
        loop.evaluate()
        return loop.metrics["test"]["loss"]

    section = loop.plan.config.optimizer
    adam = {**row.optimizer, "name": section.name, "learning_rate": section.learning_rate}
    return Trainer(
        advance,
        replay,
        evaluate,
        sum(leaf.size for leaf in jax.tree.leaves(loop.state.variables.params)),
        adam,
        jax.devices()[0].device_kind,
        loop.close,
    )
