"""The reports of `compile_for_pod` as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from ae_jax.benchmarking.hardware.chips import GIB

SHOWN = 12
COLUMNS = (
    "config",
    "slice",
    "strategy",
    "batch a chip",
    "GiB of HBM",
    "model GFLOP",
    "executed GFLOP",
    "HBM GB",
    "sent MB",
    "unexpected MB",
    "state, of an even split",
    "step ≥ ms",
    "held by",
    "examples/s ≤",
    "of peak ≤",
    "scaling ≤",
)


def label(report: Mapping[str, Any]) -> str:
    """A report's config, if it names one, slice and strategy."""
    return ", ".join(filter(None, (report.get("config"), report["topology"], report["strategy"])))


def text(report: Mapping[str, Any]) -> str:
    """One report in lines."""
    memory = report["memory"]
    parts = (f"{kind} {size / GIB:.3f}" for kind, size in memory.items() if kind != "hbm")
    lines = [
        f"{label(report)}: {report['batch_per_chip']} examples a chip, {report['batch_size']:,} in "
        f"all, on {report['chips']} chips",
        f"  program     {report['program']}; compiled in {report['compile_seconds']:.0f} s",
        f"  memory      {report['verdict']}",
        f"              GiB a chip: {', '.join(parts)}",
    ]
    if "roofline" in report:
        lines += [*_work(report), *_limits(report)]
    return "\n".join(lines)


def _work(report: Mapping[str, Any]) -> list[str]:
    state, flops, moved = report["state"], report["flops"], report["collective_bytes"]
    rows = sorted(report["collectives"], key=lambda row: -row["seconds"])
    lines = [
        f"  state       {state['bytes'] / 1e6:,.1f} MB, {state['bytes_per_chip'] / 1e6:,.1f} a chip"
        f": {state['ratio']:.2f} of an even split into {state['shards']}",
        f"  FLOPs       {flops['model'] / 1e9:,.4g} G of the model, {flops['executed'] / 1e9:,.4g} "
        "G executed",
        f"  HBM         {report['hbm_bytes'] / 1e6:,.4g} MB read and written",
        f"  collectives {moved['sent'] / 1e6:,.4g} MB sent, {moved['unexpected'] / 1e6:,.3g} more "
        "than the strategy needs",
    ]
    for row in rows[:SHOWN]:
        strange = "" if row["expected"] else "  UNEXPECTED"
        lines.append(
            f"              {row['times']:>3} x {row['kind']} of {row['payload_bytes'] / 1e6:,.4g} "
            f"MB over {row['group']}, {row['origin'].rsplit('/', 1)[-1]}{strange}"
        )
    if len(rows) > SHOWN:
        lines.append(f"              and {len(rows) - SHOWN} smaller ones")
    return lines


def _limits(report: Mapping[str, Any]) -> list[str]:
    line = report["roofline"]
    times = ", ".join(
        f"{name} {line[f'{name}_seconds'] * 1e3:.4g}"
        for name in ("compute", "memory", "collective")
    )
    scaling = ", ".join(
        f"{row['chips']}: {row['efficiency']:.1%}" for row in report["weak_scaling"]
    )
    return [
        f"  bounds      a step takes at least {line['step_seconds'] * 1e3:.4g} ms ({times}), held "
        f"by {line['held_by']}",
        f"              at most {line['examples_per_second']:,.0f} examples/s, "
        f"{line['peak_fraction']:.1%} of peak",
        f"              weak scaling by chips, at most {scaling}",
    ]


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """The reports as a Markdown table, a row each; figures a chip but for examples/s."""
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    for report in reports:
        memory = report["memory"]
        row = [report.get("config", ""), report["topology"], report["strategy"]]
        row.append(str(report["batch_per_chip"]))
        row.append(f"{memory['total'] / GIB:.2f} of {memory['hbm'] / GIB:.2f}")
        row += _cells(report) if "roofline" in report else ["does not fit"]
        rows.append(row + [""] * (len(COLUMNS) - len(row)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(report: Mapping[str, Any]) -> list[str]:
    line, moved = report["roofline"], report["collective_bytes"]
    return [
        *(f"{report['flops'][which] / 1e9:,.4g}" for which in ("model", "executed")),
        f"{report['hbm_bytes'] / 1e9:.3g}",
        f"{moved['sent'] / 1e6:,.4g}",
        f"{moved['unexpected'] / 1e6:,.3g}",
        f"{report['state']['ratio']:.3f}",
        f"{line['step_seconds'] * 1e3:,.3g}",
        line["held_by"],
        f"{line['examples_per_second']:,.0f}",
        f"{line['peak_fraction']:.1%}",
        f"{report['weak_scaling'][-1]['efficiency']:.1%}",
    ]
