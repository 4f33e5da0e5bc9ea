"""Reports of `sweep` read back and held against each other."""

import json
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from ae_jax.benchmarking.step import machine
from ae_jax.benchmarking.step.measure import VERSION
from ae_jax.benchmarking.step.statistics import ratio_interval
from ae_jax.benchmarking.step.sweeps import label
from ae_jax.errors import DataError, MissingFileError

FIELDS = ("version", "environment", "config", "seconds", "rounds", "results")
RESULT_FIELDS = ("overrides", "samples", "step_seconds", "examples_per_second")
ROUNDS = 3
"""From so many on each round counts as one measurement."""


class Row(NamedTuple):
    """A variant in both reports.

    Attributes:
      overrides: overrides of the variant.
      ratio: how many times as fast it is now, by the medians.
      low: end of the interval of 95%.
      high: the other.
      old: seconds of the median step then.
      new: now.
      over: what was drawn from for the interval, "rounds" or "dispatches".
    """

    overrides: dict[str, Any]
    ratio: float
    low: float
    high: float
    old: float
    new: float
    over: str


def read(path: Any) -> dict[str, Any]:
    """Reads a report.

    Args:
      path: path of a JSON file, local or `gs://`.

    Raises:
      MissingFileError: it is not there.
      DataError: it is no report, or one of another version.
    """
    from etils import epath

    path = epath.Path(path)
    if not path.exists():
        raise MissingFileError(f"there is no report '{path}'")
    try:
        report = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"'{path}' is not JSON: {error}") from None
    validate(report, str(path))
    return report


def validate(report: Any, name: str = "it") -> None:
    """Raises DataError unless it is a report of `sweep` of this version.

    Args:
      report: anything that JSON can hold.
      name: name for the message.
    """
    if not isinstance(report, Mapping) or report.get("version") != VERSION:
        first = report[0] if isinstance(report, list) and report else report  # version 1: a list
        version = first.get("version") if isinstance(first, Mapping) else None
        told = "no version" if version is None else f"version {version}"
        raise DataError(
            f"{name} has {told}, but reports of ae-jax benchmark of version {VERSION} are "
            "needed: measure again with this release"
        )
    missing = [field for field in FIELDS if field not in report]
    for result in report.get("results", ()):
        if "error" not in result:
            missing += [f"results.{field}" for field in RESULT_FIELDS if field not in result]
    if missing:
        raise DataError(f"{name} lacks {', '.join(sorted(set(missing)))}")


def compare(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Row]:
    """How many times as fast each variant is as it was.

    The interval is the bootstrap of `ae_jax.benchmarking.step.statistics.ratio_interval`, over the
    medians of the rounds where both reports have three or more, else over dispatches. It holds
    what varies within one start of a process, and over dispatches, which follow on each other, it
    is too narrow.

    Args:
      new: report of `sweep`, or of `read`.
      old: report to compare with.

    Returns:
      Rows in the order of the new report, for the variants that both have measured.
    """
    before = {_key(result): result for result in old["results"] if "error" not in result}
    rows = []
    for result in new["results"]:
        other = before.get(_key(result))
        if other is None or "error" in result:
            continue
        enough = min(len(result["samples"]), len(other["samples"])) >= ROUNDS
        pick = _of_rounds if enough else _of_dispatches
        ratio, low, high = ratio_interval(pick(result), pick(other))
        then, now = (each["step_seconds"]["median"] for each in (other, result))
        over = "rounds" if enough else "dispatches"
        rows.append(Row(dict(result["overrides"]), ratio, low, high, then, now, over))
    return rows


def _key(result: Mapping[str, Any]) -> str:
    return json.dumps(result["overrides"], sort_keys=True)


def _of_rounds(result: Mapping[str, Any]) -> list[float]:
    return [statistics.median(t / n for t, n in row) for row in result["samples"]]


def _of_dispatches(result: Mapping[str, Any]) -> list[float]:
    return [t / n for row in result["samples"] for t, n in row]


def warnings(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """Why the comparison may not be fair: other machine, versions or config, or a busy machine."""
    differences = machine.differences(new["environment"], old["environment"])
    sections = sorted(set(new["config"]) | set(old["config"]))
    differences += [
        f"the config's section '{name}' differs"
        for name in sections
        if new["config"].get(name) != old["config"].get(name)
    ]
    for name, report in (("old", old), ("new", new)):
        if busy := machine.busy(report["environment"]):
            differences.append(f"{name} report: {busy}")
    return differences


def text(rows: list[Row], cautions: list[str]) -> str:
    """The comparison in lines.

    Args:
      rows: rows of `compare`.
      cautions: lines of `warnings`.
    """
    if not rows:
        lines = ["the two reports have no variant in common"]
    else:
        lines = ["times as fast as before, with an interval of 95%:"]
        lines += [
            f"  {label(row.overrides) or 'the config'}: {row.ratio:.3f} ({row.low:.3f} to "
            f"{row.high:.3f}), {1e3 * row.old:.4g} ms a step before, {1e3 * row.new:.4g} now"
            for row in rows
        ]
    if any(row.over == "dispatches" for row in rows):
        lines.append(
            f"  (intervals over dispatches are too narrow: both need --rounds={ROUNDS} or more)"
        )
    return "\n".join([*lines, *(f"Warning: {warning}" for warning in cautions)])


def slower(rows: list[Row], factor: float) -> list[Row]:
    """The variants that are surely slower than this factor: whose whole interval lies below it."""
    return [row for row in rows if row.high < factor]
