"""What a population says of its members at the end: `members.json` and summary.json."""

import time
from collections.abc import Sequence
from typing import Any

import jax

from ae_jax.population.loop import PopulationLoop
from ae_jax.population.members import Member
from ae_jax.runs import summary as summary_lib
from ae_jax.runs.history import Starts


def table_rows(members: Sequence[Member], loop: PopulationLoop) -> list[dict[str, Any]]:
    """One row a member: its number, values, status and last metrics of each split."""
    return [
        {
            "member": number,
            "values": member,
            "status": "diverged" if loop.lost(number) else "trained",
            "metrics": summary_lib.finite_or_none(
                {split: rows[number] for split, rows in loop.by_member.items()}
            ),
        }
        for number, member in enumerate(members)
    ]


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
