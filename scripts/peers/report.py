"""The result: one JSON object, and tables in Markdown.

Schema 1 of the JSON, `results.json`:

- `schema`, `settings`: seconds a process, tuning_seconds, size, precision, gpu.
- `workloads`, by name:
  - `rows`: a side each, see `row`; ratios are of seconds, theirs over ae_jax's, so that above 1
    ae_jax is faster.
  - `noise_floor`: by regime, ratio and interval of ae_jax against itself.
  - `not_admitted`: peer, variant, status ("refused" or "failed") and reason of each.
  - `failed`: sides that were admitted and then failed, and why.
  - `tuning`: for each tuned row what was tried, and the seconds it took.
  - `flops_per_step`, `flops_formula`, `peak_flops`: the work, how it is counted, and the fastest
    matrix product on this machine, which is the `peak` that rows hold their rate against.
  - `processes`: every record as the worker told it: job, every sample, versions, revision,
    command, flags, affinity, threads, load, clocks, cache, memory.
- `elbo`: see `elbo.rows`.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ae_jax.benchmarking.step.statistics import ratio_interval
from peers.runner import OURS, Entry, Options, entries
from peers.store import Store

SCHEMA = 1


def build(store: Store, options: Options, elbo: Sequence[Any] = ()) -> dict[str, Any]:
    """The result of what has been measured so far.

    Args:
      store: its records.
      options: which sides there are.
      elbo: rows of `elbo.rows`.

    Returns:
      Plain values, see the module.
    """
    names = [name for name in options.workloads if store.get(f"{name}/prepare") is not None]
    made = {name: _workload(store, options, name) for name in names}
    return {"schema": SCHEMA, "settings": options.fixed, "workloads": made, "elbo": list(elbo)}


def write(result: dict[str, Any], folder: str) -> None:
    """Writes `results.json` and `results.md`."""
    (pathlib.Path(folder) / "results.json").write_text(json.dumps(result, indent=1))
    (pathlib.Path(folder) / "results.md").write_text(markdown(result))


def _workload(store: Store, options: Options, name: str) -> dict[str, Any]:
    sides = entries(options, name)
    records = {side: _records(store, options, name, side) for side in sides}
    timed = {
        side: [record["step_seconds"] for record in own if record["status"] == "ok"]
        for side, own in records.items()
    }
    timed = {side: times for side, times in timed.items() if times}
    work, peak = store.get(f"{name}/prepare") or {}, store.get(f"{name}/peak") or {}
    flops, fastest = work.get("flops_per_step"), peak.get("peak_flops")
    rows = [row(side, timed, records[side], flops, fastest) for side in timed]
    return {
        "rows": rows,
        "noise_floor": {r["regime"]: r["ratio"] for r in rows if r["again"]},
        "not_admitted": _not_admitted(store, name, sides),
        "failed": _failed(records),
        "tuning": _tuning(store, name, sides),
        "flops_per_step": flops,
        "flops_formula": work.get("flops_formula"),
        "peak_flops": fastest,
        "processes": [record for own in records.values() for record in own],
    }


def _records(store: Store, options: Options, name: str, side: Entry) -> list[Any]:
    keys = (f"{name}/timing/{side.name}/{turn}" for turn in range(options.processes))
    return [record for record in map(store.get, keys) if record is not None]


def row(
    side: Entry,
    timed: dict[Entry, list[float]],
    records: Sequence[Any],
    flops: int | None = None,
    peak: float | None = None,
) -> dict[str, Any]:
    """One side's line.

    Args:
      side: whose.
      timed: the median seconds a step of each process, of every side.
      records: the side's own.
      flops: of a step.
      peak: operations a second.

    Returns:
      Plain values: peer, variant, regime, setting, again; "step_seconds", the median over
      processes, "processes" those medians; examples_per_second; steps_per_call, threads;
      first_call_seconds and max_rss_mib, medians; "share_of_peak"; "ratio", with the ends of its
      interval of 95%, against ae_jax in the same regime and setting; "ratio_to_best", against the
      fastest row of ae_jax. None against itself, and where ae_jax was not timed.
    """
    times = timed[side]
    step_seconds = float(np.median(times))
    ok = [record for record in records if record["status"] == "ok"]
    middle = lambda name: float(np.median([record[name] for record in ok]))
    ours = {s: t for s, t in timed.items() if s.peer == OURS and not s.again}
    same = next((t for s, t in ours.items() if s[2:4] == side[2:4]), None)
    best = min(ours.values(), key=np.median, default=None)
    rate = ok[0]["examples_per_second"] * ok[0]["step_seconds"]
    return {
        **side._asdict(),
        "step_seconds": step_seconds,
        "processes": times,
        "examples_per_second": rate / step_seconds,
        "steps_per_call": middle("steps_per_call"),
        "threads": ok[0]["threads"],
        "first_call_seconds": middle("first_call_seconds"),
        "max_rss_mib": middle("max_rss_mib"),
        "share_of_peak": None if not (flops and peak) else flops / step_seconds / peak,
        "ratio": _against(same, times),
        "ratio_to_best": _against(best, times),
    }


def _against(ours: list[float] | None, theirs: list[float]) -> tuple[float, float, float] | None:
    """Ratio and interval; None for a side against itself, whose draws are not independent."""
    return None if ours is None or ours is theirs else ratio_interval(ours, theirs)


def _not_admitted(store: Store, name: str, sides: Sequence[Entry]) -> list[dict[str, str]]:
    found = []
    for peer, variant in dict.fromkeys((side.peer, side.variant) for side in sides):
        record = store.get(f"{name}/admission/{peer}-{variant}")
        if record is not None and record["status"] != "ok":
            reason = record.get("reason") or "; ".join(record["reasons"])
            about = {"peer": peer, "variant": variant, "status": record["status"]}
            found.append({**about, "reason": reason})
    return found


def _failed(records: dict[Entry, list[Any]]) -> list[dict[str, Any]]:
    return [
        {**side._asdict(), "reason": record["reason"]}
        for side, own in records.items()
        for record in own
        if record["status"] == "failed"
    ]


def _tuning(store: Store, name: str, sides: Sequence[Entry]) -> list[dict[str, Any]]:
    keys = dict.fromkeys(f"{side.peer}-{side.variant}-{side.regime}" for side in sides)
    held = {key: store.get(f"{name}/tuning/{key}") for key in keys}
    return [{"row": key, **record} for key, record in held.items() if record is not None]


def markdown(result: dict[str, Any]) -> str:
    """The result as tables: for each workload, the time to a test −ELBO, and who was left out."""
    timed = {name: found for name, found in result["workloads"].items() if found["rows"]}
    precision = result["settings"]["precision"]
    parts = [_table(f"{name}, {precision}", found) for name, found in timed.items()]
    if result["elbo"]:
        parts.append(_elbo_table(result["elbo"]))
    left_out = [
        f"- {name}: {o['peer']} {o['variant']} {o.get('status', 'failed')}: {o['reason']}"
        for name, found in result["workloads"].items()
        for o in found["not_admitted"] + found["failed"]
    ]
    if left_out:
        missing = any("No module named" in line for line in left_out)
        hint = ' (`pip install -e ".[bench-peers]"` installs what is missing)' if missing else ""
        parts.append("\n".join([f"Left out{hint}:", "", *left_out]))
    return "\n\n".join(parts) + "\n"


def _table(name: str, found: dict[str, Any]) -> str:
    lines = [
        f"**{name}**: medians of {_counts(found)} processes each, and their times of a step as "
        "multiples of ae_jax's",
        "",
        "| program | data on | steps a call | ms a step | examples/s | ratio to ae_jax (95%) "
        "| to its fastest row |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in found["rows"]:
        again = " (again: the noise)" if r["again"] else ""
        cells = (
            f"{r['peer']} {r['variant']}{again}",
            r["regime"],
            f"{r['steps_per_call']:.0f}",
            f"{1e3 * r['step_seconds']:.3g}",
            f"{r['examples_per_second']:,.0f}",
            _interval(r["ratio"], len(r["processes"])),
            _interval(r["ratio_to_best"], len(r["processes"])),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _counts(found: dict[str, Any]) -> str:
    counts = sorted({len(r["processes"]) for r in found["rows"]})
    return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else "0"


def _interval(ratio: Sequence[float] | None, processes: int) -> str:
    """A ratio and its interval, which one process a side does not have."""
    if ratio is None:
        return "–"
    middle, low, high = ratio
    return f"{middle:.2f}" + (f" ({low:.2f} to {high:.2f})" if processes > 1 else "")


def _elbo_table(rows: Sequence[Any]) -> str:
    lines = [
        f"**Seconds to a test −ELBO of {rows[0]['target']:g} nats**, start and compilation "
        "included; level: from which epoch on the side that starts slower is no longer behind",
        "",
        "| program | seconds | nats at the end | slower start, level |",
        "|---|---|---|---|",
    ]
    for r in rows:
        reached = r["seconds_to_target"]
        level = f"{r['slower_start']}, {r['caught_up_at'] or 'never'}"
        cells = (
            r["name"],
            "not reached" if reached is None else f"{reached:.1f}",
            f"{r['curve'][-1][2]:.1f}",
            "–" if r["slower_start"] is None else level,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
