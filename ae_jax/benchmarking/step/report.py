"""What the results of `measure` say, as a table and in words: what binds, what to try next."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ae_jax.benchmarking.step import machine
from ae_jax.benchmarking.step.sweeps import label

Result = Mapping[str, Any]

WIDTH = 100
NOTABLE = 0.05
"""Shares below it are not worth a word."""
NEAR = 0.7
"""Fraction of its limit from which on a step is near it."""
SLOW_PRODUCTS = 0.5
"""Products below this part of the speed of a large one are small or of an awkward shape."""
COLUMNS = ("examples/s", "ms a step", "of limit", "MFU", "waiting", "dispatch", "compile", "memory")


def table(results: Sequence[Result]) -> str:
    """The results as lines of text, a row each: speed, quartiles in brackets, and its shares."""
    rows = [("", *COLUMNS), *map(_row, results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(result: Result) -> tuple[str, ...]:
    name = label(result["overrides"]) or "the config"
    if "error" in result:
        return (name, f"failed: {result['error'][:70]}", *[""] * (len(COLUMNS) - 1))
    q25, median, q75 = (1e3 * result["step_seconds"][q] for q in ("q25", "median", "q75"))
    limits, mfu = result["limits"], result["mfu"]
    return (
        name,
        f"{result['examples_per_second']:,.0f}",
        f"{_digits(median)} ({_digits(q25)} to {_digits(q75)})",
        "" if limits is None else f"{limits['fraction']:.0%}",
        "" if mfu is None else f"{mfu['value']:.1%}",
        f"{result['input_wait_share']:.1%}",
        f"{result['dispatch']['share']:.1%}",
        f"{result['compile_seconds']:.1f} s{' (kept)' * result['compiled_before']}",
        _bytes(_memory(result)),
    )


def _digits(value: float) -> str:
    """Three significant digits, no exponent."""
    places = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{places}f}"


def _memory(result: Result) -> int | None:
    memory = result["memory"]
    program = memory["program"]
    return memory["device_peak"] or (None if program is None else program["total"])


def _bytes(number: float | None) -> str:
    return "" if number is None else f"{_large(number)}B"


def text(report: Mapping[str, Any]) -> str:
    """Everything in words, for whoever has not read the documentation.

    Args:
      report: report of `ae_jax.benchmarking.sweep`.

    Returns:
      The table and, for each variant, where its step's time goes, which limit binds, and what to
      try next.
    """
    measured = [result for result in report["results"] if "error" not in result]
    environment = report["environment"]
    parts = [table(report["results"])]
    parts += ["\n".join(map(_wrapped, explained(result, environment))) for result in measured]
    warning = machine.busy(environment)
    return "\n\n".join([*parts, *([_wrapped(f"Warning: {warning}.")] if warning else [])])


def _wrapped(line: str) -> str:
    """In lines of `WIDTH`, the others further in than the first."""
    inner = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(line, WIDTH, subsequent_indent=inner, break_on_hyphens=False)


def explained(result: Result, environment: Mapping[str, Any]) -> list[str]:
    """Lines on one result: what it is, what binds, what to try."""
    unit, devices = result["units"], result["device_count"]
    each = f", {result['examples_per_second_per_device']:,.0f} on each" if devices > 1 else ""
    lines = [
        f"{label(result['overrides']) or 'the config'}: batch {result['batch_size']}, "
        f"{result['strategy']} on {devices} x {machine.name(environment)}, "
        f"data {result['engine']}, {result['compute_dtype']}",
        f"  {result['examples_per_second']:,.0f} examples/s{each}, "
        f"{_large(unit['per_second'])} {unit['name']}/s; first step after "
        f"{result['first_step_seconds']:.1f} s, compiling {result['compile_seconds']:.1f} s of it"
        + (" (found compiled)" if result["compiled_before"] else ""),
        f"  {_large(result['flops']['model'])} model FLOP a step, "
        f"{_large(result['flops_per_second'])}FLOP/s{_of_peak(result)}",
        *(f"  {line}" for line in _limit_lines(result)),
    ]
    return [*lines, *(f"  next: {line}" for line in advice(result, environment))]


def _of_peak(result: Result) -> str:
    mfu = result["mfu"]
    return (
        ""
        if mfu is None
        else f": {mfu['value']:.1%} of {_large(mfu['peak_flops'])}FLOP/s, {mfu['of']}"
    )


def _limit_lines(result: Result) -> list[str]:
    limits, step = result["limits"], result["step_seconds"]["median"]
    ms = lambda seconds: f"{_digits(1e3 * seconds)} ms"
    lines = [
        f"a step of {ms(step)}: {result['input_wait_share']:.1%} waiting for input, "
        f"{result['dispatch']['share']:.1%} dispatching ({ms(result['dispatch']['seconds'])} for "
        f"{result['steps_per_dispatch']:,} step{'s' * (result['steps_per_dispatch'] > 1)})"
    ]
    if result["collective_bytes"]:
        lines.append(f"each device sends {_bytes(result['collective_bytes'])} a step to the others")
    if limits is None:
        failed = result["limit_error"]
        return lines + ([f"its products alone could not be measured: {failed}"] if failed else [])
    if limits["products_complete"] is False:
        lines.append("the compiler left some products out: what they take alone is too little")
    memory = f"moving {_bytes(limits['memory_bytes'])} takes {ms(limits['memory_seconds'])}"
    if not limits["memory_counts"]:
        memory += ", but they fit in the cache"
    what = {"products": "its matrix products and convolutions", "memory": "memory bandwidth"}
    binds = what[limits["held_by"]]
    near = f"held by {binds}" if limits["fraction"] >= NEAR else f"the first limit would be {binds}"
    return [
        *lines,
        f"limits measured here: its products alone take {ms(limits['products_seconds'])}; {memory}",
        f"a large product runs at {_large(limits['gemm_flops_per_second'])}FLOP/s, memory at "
        f"{_large(limits['memory_bytes_per_second'])}B/s",
        f"{near}: {limits['fraction']:.0%} of it reached",
    ]


def advice(result: Result, environment: Mapping[str, Any]) -> list[str]:
    """What to try next, by what stands in the way, the largest share first."""
    hints = []
    if (share := result["input_wait_share"]) > NOTABLE:
        hints.append((share, _input_advice(result, share)))
    if (share := result["dispatch"]["share"]) > NOTABLE:
        hints.append(
            (
                share,
                f"{share:.0%} of the time starts device loops: more steps in each "
                "(training.steps_per_dispatch unset chooses by itself"
                + (
                    "; streamed data also end one with each block)"
                    if result["engine"] == "streaming"
                    else ")"
                ),
            )
        )
    lost = sum(share for share, _ in hints)
    lines = [line for _, line in sorted(hints, reverse=True)]
    if result["limits"] is not None:
        lines += _limit_advice(result, environment, lost)
    return lines


def _input_advice(result: Result, share: float) -> str:
    remedy = (
        "data.engine=resident keeps the data on the device, where they fit "
        "(data.resident_mib); else more data.workers"
        if result["engine"] == "streaming"
        else "the source is slow"
    )
    return f"{share:.0%} of the time waits for input: {remedy}"


def _limit_advice(result: Result, environment: Mapping[str, Any], lost: float) -> list[str]:
    limits, platform = result["limits"], environment["platform"]
    if limits["fraction"] < NEAR:
        if lost > 1 - NEAR:  # what to do about that has been said
            return []
        rest = 1 - limits["fraction"] - lost
        return [
            f"{rest:.0%} goes to neither: elementwise work, random numbers, the optimizer, "
            "collectives; ae-jax train --profile=100:110 shows which. A larger "
            "training.batch_size spreads what does not grow with it"
        ]
    if limits["held_by"] == "memory":
        return [
            "parameters and optimizer are read and written once a step: a larger "
            "training.batch_size spreads that over more examples; parallel.strategy=fsdp over more "
            "devices splits them"
        ]
    speed = limits["products_flops_per_second"] / limits["gemm_flops_per_second"]
    if speed < SLOW_PRODUCTS:
        return [
            f"the products run at {speed:.0%} of the speed of a large one: a larger "
            "training.batch_size or wider layers make better use of the device"
        ]
    if platform != "cpu" and result["compute_dtype"] == "float32":
        return ["the products bind: training.compute_dtype=bfloat16 makes them faster"]
    return ["the products bind, and they are fast: only fewer of them or more devices would help"]


def _large(value: float) -> str:
    """Such as "12.8 G"."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}"
    return f"{value:.3g} "
