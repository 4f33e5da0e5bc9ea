"""A member of a population as the workdir of an ordinary run."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from ae_jax import _workdir as storage
from ae_jax import config as config_lib
from ae_jax.errors import WorkdirError
from ae_jax.population.rounds import SPLIT
from ae_jax.runs import lock
from ae_jax.runs.run import Run
from ae_jax.training.checkpoint import Checkpoints
from ae_jax.training.parallel import processes
from ae_jax.training.parallel import strategies as parallel

SHARED = ("version", "spec", "num_train", "display_range", "fingerprint")
"""What config.json of a member holds as that of the population does."""


def export(population: Any, number: int, workdir: Any) -> Run:
    """Writes config, checkpoint, metrics and summary of a member; see `Population.export`.

    Of several processes the first writes; all of them come back when everything is there.

    Args:
      population: the Population.
      number: of the member.
      workdir: new or empty.
    """
    run = population.member(number)
    seen = int(population.state(number).step) * run.config.training.batch_size
    summary = dict(run.summary) | {"examples_seen": seen, "examples_per_second": None}
    with processes.agreed():
        path = storage.open_workdir(workdir, probe=processes.is_first())
        if processes.is_first():
            _write(population, number, path, summary)
    return dataclasses.replace(run, summary=summary, workdir=path)


def _write(population: Any, number: int, path: Any, summary: Mapping[str, Any]) -> None:
    state, config = population.state(number), population.configs[number]
    with lock.held(path, lambda text: None):
        if (path / storage.CONFIG).exists():
            raise WorkdirError(f"'{path}' already holds a run: export to another folder")
        stored = {name: population.stored[name] for name in SHARED if name in population.stored}
        if "fingerprint" not in stored:
            stored["fingerprint"] = None
        with Checkpoints(path) as checkpoints:
            host = parallel.fetch(state)
            host = host._replace(root=jax.random.wrap_key_data(host.root))
            checkpoints.save(host, summary["examples_seen"])
            checkpoints.wait()
        stages = population.lineage(number)
        if len(stages) > 1:
            storage.write_json(path / storage.LINEAGE, stages)
        segment = storage.MetricsSegment(path, 0)
        for point in _points(population, number, stages):
            values = {k: v for k, v in point.items() if k not in ("step", "split", "member")}
            segment.write(point["step"], point["split"], values)
        segment.close()
        storage.write_json(path / storage.SUMMARY, summary)
        # Last, since a folder with a config is a run: one cut short is none.
        stored |= {"config": config_lib.to_plain(config)}
        storage.write_json(path / storage.CONFIG, stored)


def _points(
    population: Any, number: int, stages: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The log points of a member, or of those whose state it took; in memory, its last ones."""
    if population.workdir is not None:
        begins = [-1, *(stage["from_step"] for stage in stages[1:])]
        spans = list(zip(stages, begins, [*begins[1:], math.inf], strict=True))
        mine = lambda point: any(
            point["member"] == stage["member"] and begin < point["step"] <= end
            for stage, begin, end in spans
        )
        points = storage.read_metrics(population.workdir)
        return [point for point in points if point["split"] != SPLIT and mine(point)]
    if not population.table:
        return []
    step, row = int(population.state(number).step), population.table[number]
    return [{"step": step, "split": split, **own} for split, own in row["metrics"].items()]
