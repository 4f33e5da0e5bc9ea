"""Reports held against each other: ratios, intervals, warnings, versions."""

import json

import pytest

from ae_jax.benchmarking.step import comparison
from ae_jax.errors import DataError, MissingFileError
from tests.benchmarking.made_up import report, result


def rounds(*seconds):
    """Rounds of three dispatches, whose medians these are."""
    return [[[10 * s, 10], [0.5 * s, 1], [40 * s, 20]] for s in seconds]


def timed(*seconds, **fields):
    return result(samples=rounds(*seconds), step_seconds={"median": seconds[0]}, **fields)


def test_twice_the_speed_is_a_ratio_of_two_whose_interval_holds_it():
    (row,) = comparison.compare(report(timed(1e-3, 1e-3, 1e-3)), report(timed(2e-3, 2e-3, 2e-3)))
    assert row.ratio == row.low == row.high == pytest.approx(2.0)
    assert (row.old, row.new, row.over) == (2e-3, 1e-3, "rounds")


def test_the_interval_holds_what_varies_from_round_to_round():
    new, old = report(timed(1.0, 1.1, 0.9)), report(timed(2.0, 2.2, 1.8))
    (row,) = comparison.compare(new, old)
    assert row.ratio == pytest.approx(2.0)
    assert row.low == pytest.approx(1.8 / 1.1)
    assert row.high == pytest.approx(2.2 / 0.9)


def test_fewer_than_three_rounds_fall_back_on_dispatches_and_say_so():
    (row,) = comparison.compare(report(timed(1.0)), report(timed(1.0, 1.0, 1.0)))
    assert row.over == "dispatches"
    assert row.low < row.ratio < row.high
    assert "too narrow: both need --rounds=3" in comparison.text([row], [])


def test_only_variants_that_both_have_measured_are_compared():
    one, other = ({"training.batch_size": n} for n in (1, 2))
    new = report(timed(1.0, overrides=one), timed(1.0, overrides=other))
    failed = {"overrides": one, "error": "out of memory"}
    old = report(failed, timed(1.0, overrides=other))
    assert [row.overrides for row in comparison.compare(new, old)] == [other]
    assert comparison.compare(report(failed), new) == []
    assert "no variant in common" in comparison.text([], [])


def test_a_variant_is_slower_only_if_its_whole_interval_is():
    row = comparison.Row({}, 0.85, 0.8, 0.89, 1.0, 1.2, "rounds")
    assert comparison.slower([row, row._replace(high=0.95)], 0.9) == [row]


def test_another_machine_other_versions_and_another_config_are_warned_of():
    old, new = report(), report(cpu="Another", versions={"jax": "1.1", "numpy": "2.0"})
    new["config"]["training"]["batch_size"] = 64
    assert comparison.warnings(new, old) == [
        "cpu: 'A Processor' -> 'Another'",
        "jax: 1.0 -> 1.1",
        "the config's section 'training' differs",
    ]
    assert comparison.warnings(report(), report()) == []


def test_a_busy_machine_is_warned_of():
    (warning,) = comparison.warnings(report(), report(load_average=[3.0, 1.0, 1.0]))
    assert warning.startswith("old report: the machine was busy")
    assert "load average 3.0 on 2 processors" in warning


def test_a_report_comes_back_from_json_as_it_went(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report()))
    assert comparison.read(path) == report()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "no version"),
        ('[{"version": 1}]', "version 1, but reports .* of version 2"),
        ('[{"version": 2}]', "version 2, but"),
        ('{"version": 3}', "version 3"),
        ('{"version": 2, "results": [{"overrides": {}}]}', "lacks .*results.samples"),
    ],
)
def test_what_is_no_report_of_this_version_is_refused(tmp_path, contents, message):
    path = tmp_path / "report.json"
    path.write_text(contents)
    with pytest.raises(DataError, match=message):
        comparison.read(path)


def test_a_missing_report_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="there is no report"):
        comparison.read(tmp_path / "none.json")
