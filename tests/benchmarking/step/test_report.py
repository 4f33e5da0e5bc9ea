"""What results say in words, and their figure."""

import pytest

from ae_jax.benchmarking.step import figure as throughput_figure
from ae_jax.benchmarking.step import report as reported
from tests.benchmarking.made_up import ENVIRONMENT, report, result

ACCELERATOR = {**ENVIRONMENT, "platform": "gpu", "device_kind": "NVIDIA H100 80GB HBM3"}


def test_the_table_has_a_row_a_result_with_its_shares():
    failed = {"overrides": {"training.batch_size": 4096}, "error": "RESOURCE_EXHAUSTED: much"}
    lines = reported.table([result(), failed]).splitlines()
    assert len(lines) == 3
    cells = lines[1].split("  ")
    assert [cell.strip() for cell in cells if cell] == [
        "batch_size=128",
        "64,000",
        "2.00 (1.80 to 2.40)",
        "80%",
        "6.0%",
        "0.0%",
        "1.0%",
        "3.0 s",
        "3 MB",
    ]
    assert lines[2].startswith("batch_size=4096")
    assert "failed: RESOURCE_EXHAUSTED" in lines[2]


def test_the_summary_names_the_limit_that_binds():
    text = reported.text(report())
    assert "128, pmap on 1 x A Processor" in text
    assert "64,000 examples/s, 4.1 M pixels/s" in text
    assert "its products alone take 1.60 ms; moving 2 MB takes 0.100 ms" in text
    assert "a large product runs at 100 GFLOP/s, memory at 20 GB/s" in text
    assert "held by its matrix products and convolutions: 80% of it reached" in text
    assert "Warning" not in text
    assert max(map(len, text.splitlines())) <= reported.WIDTH + 20  # of the table


def test_a_busy_machine_is_warned_of():
    assert "none should be quoted" in reported.text(report(load_average=[1.5, 0.1, 0.1]))


def test_without_limits_nothing_is_said_of_them():
    text = reported.text(report(result(limits=None, mfu=None)))
    assert "held by" not in text
    assert "limits" not in text
    said = reported.text(report(result(limits=None, limit_error="RESOURCE_EXHAUSTED: more")))
    assert "could not be measured: RESOURCE_EXHAUSTED: more" in said


FAR = {"fraction": 0.3, "seconds": 6e-4}


@pytest.mark.parametrize(
    ("fields", "environment", "expected"),
    [
        (
            {"input_wait_share": 0.4, "engine": "streaming", "limits": FAR},
            ENVIRONMENT,
            ["40% of the time waits for input: data.engine=resident"],
        ),
        (
            {"dispatch": {"share": 0.35}, "limits": FAR},
            ENVIRONMENT,
            ["35% of the time starts device loops: more steps in each"],
        ),
        (
            {"dispatch": {"share": 0.1}, "input_wait_share": 0.2, "engine": "streaming"},
            ENVIRONMENT,
            ["20% of the time waits", "10% of the time starts", "the products bind"],
        ),
        ({"limits": FAR}, ENVIRONMENT, ["70% goes to neither: elementwise work"]),
        ({}, ENVIRONMENT, ["the products bind, and they are fast"]),
        ({}, ACCELERATOR, ["the products bind: training.compute_dtype=bfloat16"]),
        ({"compute_dtype": "bfloat16"}, ACCELERATOR, ["the products bind, and they are fast"]),
        (
            {"limits": {"products_flops_per_second": 1e10}},
            ENVIRONMENT,
            ["the products run at 10% of the speed of a large one: a larger training.batch_size"],
        ),
        (
            {"limits": {"held_by": "memory"}},
            ENVIRONMENT,
            ["parameters and optimizer are read and written once a step"],
        ),
    ],
)
def test_what_to_try_next_follows_from_what_binds(fields, environment, expected):
    found = reported.advice(result(**fields), environment)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2.00"), (0.0123, "0.0123"), (123.4, "123"), (4567.0, "4567")]
)
def test_times_have_three_digits(value, text):
    assert reported._digits(value) == text


def test_the_figure_is_a_png_and_leaves_out_what_failed(tmp_path):
    failed = {"overrides": {}, "error": "no"}
    results = (result(), result(overrides={}, limits=None), failed)
    throughput_figure.draw(tmp_path / "figure.png", report(*results))
    assert (tmp_path / "figure.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
