"""The comparison with other programs in turns: order, records, tables, what is left out."""

import json

import pytest
from peers import elbo, report, runner
from peers.store import Store
from peers.trainer import Job

from ae_jax.errors import WorkdirError
from tests import scripts


def test_ae_jax_is_always_there_once_more_for_the_noise():
    options = runner.Options("unused", peers=("jax_loop",))
    found = runner.entries(options, "vae")
    assert {side.peer for side in found} == {"ae_jax", "jax_loop"}
    assert [side.name for side in found if side.again] == [
        "ae_jax-library-device-best-again",
        "ae_jax-library-host-best-again",
    ]
    assert len({side.name for side in found}) == len(found) == 10


def test_every_round_has_every_side_and_each_begins_in_turn():
    sides = runner.entries(runner.Options("unused", peers=("jax_loop",)), "vae")
    rounds = [runner.in_turns(sides, turn) for turn in range(2 * len(sides))]
    assert all(sorted(order) == sorted(sides) for order in rounds)
    firsts = [order[0] for order in rounds[::2]] + [order[-1] for order in rounds[1::2]]
    assert all(firsts.count(side) == 2 for side in sides)


def test_what_was_measured_is_kept_and_other_settings_are_refused(tmp_path):
    store = Store(tmp_path, {"seconds": 1.0})
    assert store.get("vae/timing/a/0") is None
    store.put("vae/timing/a/0", {"status": "ok"})
    again = Store(tmp_path, {"seconds": 1.0})
    assert again.get("vae/timing/a/0") == {"status": "ok"}
    with pytest.raises(WorkdirError, match=r"seconds=1\.0, not 2\.0"):
        Store(tmp_path, {"seconds": 2.0})


def recorded(seconds: float) -> dict:
    return {
        "status": "ok",
        "step_seconds": seconds,
        "examples_per_second": 8 / seconds,
        "steps_per_call": 1,
        "threads": 2,
        "first_call_seconds": 1.0,
        "max_rss_mib": 100.0,
    }


def test_the_table_follows_from_the_records(tmp_path):
    options = runner.Options(
        str(tmp_path),
        workloads=("vae",),
        peers=("jax_loop",),
        regimes=("host",),
        settings=("best",),
        processes=3,
    )
    store = Store(tmp_path, options.fixed)
    store.put("vae/prepare", {"status": "ok", "flops_per_step": 1_000, "flops_formula": "…"})
    store.put("vae/peak", {"status": "ok", "peak_flops": 1e6})
    ours_side, theirs, again = runner.entries(options, "vae")
    for turn in range(3):
        for side, seconds in ((ours_side, 0.002), (theirs, 0.006), (again, 0.003)):
            store.put(f"vae/timing/{side.name}/{turn}", recorded(seconds))
    result = report.build(store, options)
    rows = result["workloads"]["vae"]["rows"]
    assert [row["peer"] for row in rows] == ["ae_jax", "jax_loop", "ae_jax"]
    assert rows[0]["ratio"] is None
    assert rows[1]["ratio"] == pytest.approx((3, 3, 3))
    assert rows[0]["share_of_peak"] == pytest.approx(0.5)
    assert rows[1]["examples_per_second"] == pytest.approx(8 / 0.006)
    assert result["workloads"]["vae"]["noise_floor"]["host"] == pytest.approx((1.5, 1.5, 1.5))
    assert "| jax_loop plain | host | 1 | 6 | 1,333 | 3.00 (3.00 to 3.00) |" in report.markdown(
        result
    )
    alone = report.markdown(report.build(store, options._replace(processes=1)))
    assert "| jax_loop plain | host | 1 | 6 | 1,333 | 3.00 |" in alone  # no interval of one
    report.write(result, str(tmp_path))
    assert json.loads((tmp_path / "results.json").read_text())["schema"] == report.SCHEMA


def test_who_failed_or_was_refused_is_named(tmp_path):
    options = runner.Options(str(tmp_path), workloads=("vae",), processes=1)
    store = Store(tmp_path, options.fixed)
    store.put("vae/prepare", {"status": "ok"})
    failed = {"status": "failed", "reason": "No module named 'pythae'"}
    store.put("vae/admission/pythae-trainer", failed)
    store.put("vae/admission/torch-eager", {"status": "refused", "reasons": ["a", "b"]})
    text = report.markdown(report.build(store, options))
    assert "- vae: pythae trainer failed: No module named 'pythae'" in text
    assert "- vae: torch eager refused: a; b" in text
    assert 'pip install -e ".[bench-peers]"' in text


def test_a_process_that_fails_is_a_record(tmp_path):
    found = runner.launch(Job(workload="none"), 100.0, str(tmp_path))
    assert found["status"] == "failed"
    assert "no workload is called 'none'" in found["reason"]
    found = runner.launch(Job(workload="vae"), 0.01, str(tmp_path))
    assert found["reason"] == "not done after 0 s"


@pytest.mark.parametrize(
    ("ours_seconds", "theirs_seconds", "expected"),
    [
        ([10, 11, 12, 13], [5, 8, 11, 14], ("ours", 4)),  # level between 3 and 4
        ([10, 11, 12, 13], [1, 2, 3, 4], ("ours", None)),
        ([1, 3, 5, 7], [4, 5, 6, 7], ("theirs", 4)),
        ([2, 3, 4, 9], [2, 4, 6, 8], (None, 1)),
        ([5, 6, 20, 21], [4, 8, 12, 22], ("ours", 4)),  # ahead once, then behind again
    ],
)
def test_the_epoch_from_which_the_slower_start_is_made_up(ours_seconds, theirs_seconds, expected):
    curve = lambda seconds: [(i + 1, s, 0.0) for i, s in enumerate(seconds)]
    assert elbo.caught_up(curve(ours_seconds), curve(theirs_seconds)) == expected


def test_rows_of_time_to_an_elbo():
    record = lambda start, reached: {
        "points": [(1.0, start, 250.0), (2.0, start + 1, 240.0)],
        "seconds_to_target": reached,
    }
    found = {
        "ae_jax-library": [record(5.0, 6.0), record(7.0, 8.0)],
        "torch-eager": [record(4.0, 5.0), record(4.0, None)],
    }
    first, second = elbo.rows(found, 245.0)
    assert first["seconds_to_target"] == 7.0
    assert first["curve"][0] == [1.0, 6.0, 250.0]
    assert second["seconds_to_target"] is None
    assert (second["slower_start"], second["caught_up_at"]) == ("ours", None)


@pytest.mark.slow
def test_the_command_compares_and_goes_on_where_it_stopped(tmp_path):
    flags = (
        f"--folder={tmp_path}",
        "--workloads=vae",
        "--size=smoke",
        "--peers=jax_loop",
        "--settings=one",
        "--regimes=host",
        "--seconds=0.1",
    )
    scripts.run("benchmark_peers.py", *flags, "--processes=1")
    before = {path: path.read_bytes() for path in (tmp_path / "processes").rglob("*.json")}
    output = scripts.run("benchmark_peers.py", *flags, "--processes=2")
    assert all(path.read_bytes() == held for path, held in before.items())
    assert "| jax_loop plain | host | 1 |" in output
    result = json.loads((tmp_path / "results.json").read_text())
    rows = result["workloads"]["vae"]["rows"]
    assert [len(row["processes"]) for row in rows] == [2, 2, 2]
    scripts.run("benchmark_peers.py", f"--folder={tmp_path}", "--peers=torhc", code=2)
