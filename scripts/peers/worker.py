"""One measurement in a process of its own, told in one line of JSON.

    python -m peers.worker --mode=timing --workload=vae --peer=torch \
        --variant=compile --regime=host --steps_per_call=1 --size=full --folder=peers/vae/full

The flags are the fields of `Job`. Modes: "prepare" writes what the others read (ae_jax's weights,
batches, noise and losses, and the data), "admission" replays ten steps, "timing" times steps,
"elbo" trains until a test −ELBO is reached, "peak" times a matrix product alone.
"""

import time

FIRST_LINE = time.time()  # before the imports below, after those of the package

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from ae_jax.benchmarking.step.machine import anonymous_mib  # noqa: E402
from ae_jax.errors import ConfigError, UnknownNameError, nearest  # noqa: E402
from peers import admission as admission_lib  # noqa: E402
from peers import machine, table, workloads  # noqa: E402
from peers.trainer import PRECISIONS, Job, Trainer  # noqa: E402

SCHEMA = 1
WARM_UP = 6
SHORTEST = 3
"""Calls before measuring, as far as half of the measuring time goes, and the least that count."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one Job and prints its record."""
    job = parse(argv)
    run = MODES[job.mode]
    set_up(job)
    record = {"schema": SCHEMA, "job": job._asdict(), "status": "ok"}
    before = machine.describe()
    record |= run(job)
    record |= before | {
        "load": [before["load"], machine.load()],
        "anonymous_mib": anonymous_mib(),
        "max_rss_mib": machine.max_rss_mib(),
        "wall_seconds": time.time() - machine.started(),
    }
    sys.stdout.flush()
    print("\n" + json.dumps(record), flush=True)


def parse(argv: Sequence[str] | None = None) -> Job:
    """A Job from the command line.

    Raises:
      UnknownNameError: an unknown mode, peer, variant, workload or size; the nearest is named.
      ConfigError: a regime that is none.
    """
    parser = argparse.ArgumentParser(prog="python -m peers.worker")
    for name, default in Job()._asdict().items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    job = Job(**vars(parser.parse_args(argv)))
    workloads.find(job.workload, job.size)
    table.find(job.peer).variant(job.variant)
    for what, value, known in (
        ("mode", job.mode, MODES),
        ("regime", job.regime, ("host", "device")),
        ("precision", job.precision, PRECISIONS),
    ):
        if value not in known:
            raise UnknownNameError(f"no {what} is called {value!r}{nearest(value, known)}")
    if not table.find(job.peer).variants_for(job.workload, True, job.precision):
        raise ConfigError(f"'{job.peer}' has no '{job.workload}' in {job.precision}")
    if job.steps_per_call < 0 or job.threads < 0:
        raise ConfigError("steps_per_call and threads must be 0 (the peer's choice) or more")
    return job


def set_up(job: Job) -> None:
    """Threads and precision, before any device is used."""
    if job.threads:
        for name in ("PJRT_NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(job.threads)
    if table.find(job.peer).runs_jax:
        import jax

        jax.config.update("jax_default_matmul_precision", PRECISIONS[job.precision].jax)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def prepare(job: Job) -> dict[str, Any]:
    """See `admission.prepare`; tells the work of a step."""
    found = admission_lib.prepare(
        job.workload, job.size, job.folder, job.source or None, job.precision
    )
    return {
        "parameters": found.parameters,
        "losses": found.losses.tolist(),
        "flops_per_step": workloads.flops_per_step(job.workload, job.size),
        "flops_formula": " ".join((workloads.flops_per_step.__doc__ or "").split()),
    }


def admission(job: Job) -> dict[str, Any]:
    """Whether the peer trains the same model: "refused", and the reasons, if not."""
    expected = admission_lib.read(job.folder)
    trainer = table.builder(table.find(job.peer))(job)
    losses = [float(loss) for loss in trainer.replay(expected)]
    trainer.close()
    claim = admission_lib.Claim(losses, trainer.parameters, trainer.optimizer)
    tolerance = PRECISIONS[job.precision].tolerance
    reasons = admission_lib.refusals(claim, expected, tolerance)
    status = "refused" if reasons else "ok"
    return {"status": status, "reasons": reasons, "losses": losses, **_about(trainer, job)}


def timing(job: Job) -> dict[str, Any]:
    """Seconds a call, every one of them, and the median of a step."""
    _, sizes = workloads.find(job.workload, job.size)
    began = time.perf_counter()
    trainer = table.builder(table.find(job.peer))(job)
    loaded = time.perf_counter()
    trainer.advance()
    compiled = time.perf_counter()
    for _ in range(WARM_UP):
        trainer.advance()
        if time.perf_counter() - compiled > job.seconds / 2:
            break
    samples, started = [], time.perf_counter()
    while time.perf_counter() - started < job.seconds or len(samples) < SHORTEST:
        before = time.perf_counter()
        steps = trainer.advance()
        samples.append((time.perf_counter() - before, steps))
    measured = time.perf_counter() - started
    trainer.close()
    step_seconds = float(np.median([spent / steps for spent, steps in samples]))
    return {
        "samples": samples,
        "step_seconds": step_seconds,
        "mean_step_seconds": measured / sum(steps for _, steps in samples),
        "examples_per_second": sizes.batch_size / step_seconds,
        "steps_per_call": float(np.median([steps for _, steps in samples])),
        "load_seconds": loaded - began,
        "first_call_seconds": compiled - loaded,
        "measured_seconds": measured,
        **_about(trainer, job),
    }


def elbo(job: Job) -> dict[str, Any]:
    """The test −ELBO after each epoch, against seconds from the start of the process.

    ae_jax is imported in every worker; peers that do without JAX are not charged for that: their
    clock starts at this module's first line. Evaluation counts, compilation and reading too.
    """
    _, sizes = workloads.find(job.workload, job.size)
    peer = table.find(job.peer)
    origin = machine.started() if peer.runs_jax else FIRST_LINE
    trainer = table.builder(peer)(job)
    an_epoch = admission_lib.train_size(job.folder) // sizes.batch_size
    points, steps = [], 0
    for epoch in range(1, job.epochs + 1):
        while steps < epoch * an_epoch:
            steps += trainer.advance()
        nats = trainer.evaluate()
        points.append((steps / an_epoch, time.time() - origin, nats))
    trainer.close()
    reached = next((seconds for _, seconds, nats in points if nats <= job.target), None)
    return {"points": points, "seconds_to_target": reached, **_about(trainer, job)}


def peak(job: Job, size: int = 2048) -> dict[str, Any]:
    """The fastest of some matrix products of 2048 x 2048 in the job's precision, in FLOP/s."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(jnp.matmul)
    x = jnp.ones((size, size), PRECISIONS[job.precision].compute)
    product(x, x).block_until_ready()
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < 1:
        before = time.perf_counter()
        product(x, x).block_until_ready()
        best = min(best, time.perf_counter() - before)
    return {"peak_flops": 2 * size**3 / best, "device": jax.devices()[0].device_kind}


def _about(trainer: Trainer, job: Job) -> dict[str, Any]:
    return {
        "parameters": trainer.parameters,
        "optimizer": dict(trainer.optimizer),
        "device": trainer.device,
        "threads": _threads(job),
        "cudnn": _cudnn(),
    }


def _threads(job: Job) -> int:
    """How many compute; without limit, XLA takes one a CPU."""
    torch = sys.modules.get("torch")
    return (job.threads or len(machine.affinity())) if torch is None else torch.get_num_threads()


def _cudnn() -> int | None:
    """The version that PyTorch uses; JAX's is that of its package, among the versions."""
    torch = sys.modules.get("torch")
    return None if torch is None else torch.backends.cudnn.version()


MODES = {run.__name__: run for run in (prepare, admission, timing, elbo, peak)}


if __name__ == "__main__":
    main()
