"""What a population's workdir says of it: config.json, `members.json` and summary.json."""

import time
from collections.abc import Sequence
from typing import Any

import jax

from ae_jax import config as config_lib
from ae_jax.config.sections import VERSION
from ae_jax.data.spec import display_range
from ae_jax.population.groups import Resolved
from ae_jax.population.loop import PopulationLoop
from ae_jax.population.members import Member, value_at
from ae_jax.population.rounds import Rounds, fate, node_of
from ae_jax.runs import summary as summary_lib
from ae_jax.runs.fingerprint import fingerprint
from ae_jax.runs.history import Starts
from ae_jax.types import spec_to_dict


def stored(
    found: Resolved, form: str, with_fingerprint: bool, rounds: Rounds | None = None
) -> dict[str, Any]:
    """What config.json holds of a population."""
    train = found.base.dataset.train
    spec = {**spec_to_dict(found.base.spec), "data_shape": list(train.spec.x.shape)}
    marks = {"fingerprint": fingerprint(found.base.dataset)} if with_fingerprint else {}
    return {
        "version": VERSION,
        "config": config_lib.to_plain(found.base.config),
        "members": found.members,
        "groups": [{"members": g.numbers, "values": g.traced} for g in found.groups],
        "form": form,
        **({} if rounds is None else {"selection": node_of(rounds)}),
        "spec": spec,
        "num_train": len(train),
        "display_range": list(display_range(found.base.dataset)),
        **marks,
    }


def table_rows(members: Sequence[Member], loop: PopulationLoop) -> list[dict[str, Any]]:
    """One row a member: its number, values, status and last metrics of each split.

    Of a population with a selection also the steps it has trained, the rung it came to, how often
    it started again from another member, and from whom the last time; its values are the last.
    """
    return [
        {
            "member": number,
            "values": {path: value_at(loop.configs[number], path) for path in member},
            "status": _status(loop, number),
            **_fate(loop, number),
            "metrics": summary_lib.finite_or_none(
                {split: rows[number] for split, rows in loop.by_member.items()}
            ),
        }
        for number, member in enumerate(members)
    ]


def _status(loop: PopulationLoop, number: int) -> str:
    if loop.lost(number):
        return "diverged"
    return "trained" if number in loop.live else "stopped"


def _fate(loop: PopulationLoop, number: int) -> dict[str, Any]:
    if loop.rounds is None:
        return {}
    held = sum(step <= loop.step for step in loop.rounds.steps)
    found = fate(loop.events, number, held)
    return {
        "steps": loop.steps_of(number),
        "rung": found.rung,
        "copies": found.copies,
        "copied_from": found.source,
    }


def summary_of(loop: PopulationLoop, status: str, starts: Starts, started: float) -> dict[str, Any]:
    """What summary.json holds at the end of one start of a population.

    Args:
      loop: where it ended.
      status: "finished", "preempted" or "failed".
      starts: this start and those before it.
      started: `time.time()` at its beginning.
    """
    first = loop.first_dispatch
    rate = loop.timed_examples / loop.timed_seconds if loop.timed_seconds else None
    return {
        "version": summary_lib.VERSION,
        "status": status,
        "steps": loop.step,
        "wanted_steps": loop.training.steps,
        "members": loop.count,
        "programs": len(loop.groups),
        "turns": len(loop.stacks),
        **_selected(loop),
        "diverged": [n for n in range(loop.count) if loop.lost(n)],
        "examples_seen": loop.examples_seen,
        "examples_per_second": rate,
        "engine": loop.base.engine,
        "wall_seconds": time.time() - started,
        "time_to_first_step_seconds": None if first is None else first - started,
        "restarts": starts.restarts,
        "lost_steps": starts.lost_steps,
        "goodput": starts.goodput(),
        "process_count": jax.process_count(),
        "device_count": loop.members.devices,
        "strategy": f"members, {loop.members.form}",
        "precision": summary_lib.described(loop.base.config),
        "compiles": loop.traces(),
        **summary_lib.environment(),
    }


def _selected(loop: PopulationLoop) -> dict[str, Any]:
    """What a selection has spared."""
    if loop.rounds is None:
        return {}
    return {
        "selection": node_of(loop.rounds),
        "rounds": list(loop.rounds.steps),
        "member_steps": sum(map(loop.steps_of, range(loop.count))),
    }
