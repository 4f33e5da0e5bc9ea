"""Populations selected while they train: who stops, who goes on from whom, and resuming."""

import json
import shutil
import signal

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import Preempted, WorkdirError
from ae_jax.population import population_based, successive_halving
from ae_jax.runs.pictures import Pictures
from tests import small
from tests.population.alone import RATE, alone, distance, population, recipe_of

SEED, SIZE = "training.seed", "model.bottleneck.latent_dim"
RATES = [1e-3, 2e-3, 5e-4, 1e3]
SIZES = {"steps": 40, "log_every": 5, "eval_every": 20, "checkpoint_every": 15}


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    monkeypatch.setattr(Pictures, "draw", lambda *_: None)


def trained(members=None, **options):
    recipe, data = recipe_of("vae")
    members = (
        [{RATE: rate, SEED: i} for i, rate in enumerate(RATES)] if members is None else members
    )
    return population(recipe, data, members, **{**SIZES, "form": "map", **options})


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def assert_same(found, expected, loaded=False):
    """Two populations of the same decisions, numbers and files; one loaded has plainer trees."""
    assert found.events == expected.events
    assert found.table == expected.table
    known = lambda state: (state.variables, state.step, state.skipped) if loaded else state
    for n in range(len(expected)):
        assert_equal(known(found.state(n)), known(expected.state(n)))


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pictures, "draw", lambda *_: None)
        return trained(workdir=tmp_path_factory.mktemp("halved"), selection=successive_halving())


def test_halving_stops_the_worst_and_says_when(halved, tmp_path):
    rows = [(row["steps"], row["rung"], row["status"]) for row in halved.table]
    assert rows[3] == (10, 0, "diverged")  # first of all, though nothing was known of it before
    assert sorted(row[:2] for row in rows) == [(10, 0), (10, 0), (20, 1), (40, 2)]
    assert sorted(row[2] for row in rows) == ["diverged", "stopped", "stopped", "trained"]
    assert halved.best() == next(n for n in range(4) if rows[n][2] == "trained")
    assert halved.summary["member_steps"] == 10 + 10 + 20 + 40
    assert halved.summary["compiles"] == {"population train": 1, "population evaluate": 1}
    for n in range(4):
        assert int(halved.state(n).step) == rows[n][0]
    points = [p for p in ae.read_metrics(halved.workdir) if p["split"] == "selection"]
    gone = {(p["member"], p["step"], p["rung"]) for p in points}
    assert gone == {(n, row[0], row[1]) for n, row in enumerate(rows) if row[0] < 40}
    header, *lines = halved.describe().splitlines()
    assert header.split()[3:6] == ["status", "steps", "rung"]
    assert lines[3].split()[3:6] == ["diverged", "10", "0"]
    stored = json.loads((halved.workdir / "config.json").read_text())["selection"]
    assert stored == ae.config.to_plain(successive_halving().node)

    again = ae.load_population(halved.workdir)
    assert_same(again, halved, loaded=True)
    gone = next(n for n in range(4) if rows[n][1] == 1)
    run = again.export(gone, tmp_path / "one")
    assert (run.summary["steps"], run.summary["status"]) == (20, "preempted")
    assert max(point["step"] for point in ae.read_metrics(tmp_path / "one")) == 20
    assert not (tmp_path / "one" / "lineage.json").exists()


@pytest.mark.slow
def test_survivors_are_what_they_would_have_been(halved):
    whole, short = trained(), trained(steps=20)
    rows = [row["steps"] for row in halved.table]
    assert_equal(halved.state(rows.index(40)), whole.state(rows.index(40)))
    assert_equal(halved.state(rows.index(20)), short.state(rows.index(20)))
    last = rows.index(40)
    assert halved.table[last]["metrics"] == whole.table[last]["metrics"]  # totals were carried on
    side = trained(form="vmap", selection="successive_halving")
    assert side.summary["compiles"] == {"population train": 3, "population evaluate": 3}
    assert distance(side.state(last).variables, whole.state(last).variables) < 1e-6


@pytest.mark.slow
@pytest.mark.devices(2)
@pytest.mark.parametrize("name", ["halving", "pbt"])
def test_the_number_of_devices_changes_no_decision(name):
    selection = PBT if name == "pbt" else successive_halving()
    one, two = (trained(selection=selection, devices=devices) for devices in (1, 2))
    assert one.events == two.events
    assert one.events
    for n in range(4):
        assert distance(two.state(n).variables, one.state(n).variables) < 1e-6


PBT = population_based(10, {RATE: (1e-4, 1e-2)}, fraction=0.25)


def killed_at(step, tmp_path, **options):
    """The run's start that is killed when member 0 logs at a step."""

    def kill(point):
        if (point.step, point.split, point.member) == (step, "train", 0):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Preempted):
        trained(workdir=tmp_path, callbacks=[kill], **options)


@pytest.mark.slow
def test_a_killed_population_is_halved_as_if_it_had_not_been(halved, tmp_path):
    members = [{RATE: rate, SEED: i} for i, rate in enumerate(reversed(RATES))]  # 0 is logged once
    killed_at(10, tmp_path, selection=successive_halving(), members=members)
    found = trained(members, workdir=tmp_path, selection=successive_halving())
    assert found.summary["restarts"] == 1
    whole = trained(members, selection=successive_halving())
    assert_same(found, whole)
    assert_same(ae.load_population(tmp_path), whole, loaded=True)
    with pytest.raises(WorkdirError, match="selected by .*'successive_halving'.*not by nothing"):
        trained(members, workdir=tmp_path)
    with pytest.raises(WorkdirError, match="reached step 40 with rounds at 10, 20, and these .*20"):
        trained(members, workdir=tmp_path, selection=successive_halving(), steps=80)
    again = trained(members, workdir=tmp_path, selection=successive_halving())
    assert again.summary == found.summary  # nothing was left to do
    assert again.events == found.events


@pytest.mark.slow
def test_population_based_training(tmp_path):
    whole = trained(selection=PBT)
    assert whole.summary["compiles"] == {"population train": 1, "population evaluate": 1}
    replaced = [event for event in whole.events if event["member"] == 3]
    assert replaced[0]["step"] == 10  # it had diverged
    assert all(row["status"] == "trained" for row in whole.table)
    assert len({event["step"] for event in whole.events}) == 3

    killed_at(25, tmp_path, selection=PBT)
    newest = max(small.steps_of(tmp_path))
    assert newest == 25
    shutil.rmtree(tmp_path / "checkpoints" / "25")  # as if killed without notice: 20 comes again
    found = trained(workdir=tmp_path, selection=PBT)
    assert_same(found, whole)
    loaded = ae.load_population(tmp_path)
    assert_same(loaded, whole, loaded=True)
    assert loaded.configs == found.configs == whole.configs

    last = max(whole.events, key=lambda event: event["step"])
    n, rate = last["member"], last[RATE]
    run = loaded.export(n, tmp_path / "one")
    assert run.config.optimizer.learning_rate == rate == loaded.table[n]["values"][RATE]
    assert run.config.training.seed == n
    stages = json.loads((tmp_path / "one" / "lineage.json").read_text())
    assert stages == loaded.lineage(n)
    assert stages[-1] == {"member": n, "from_step": last["step"], "values": {RATE: rate, SEED: n}}
    points = [p for p in ae.read_metrics(tmp_path / "one") if p["split"] == "train"]
    assert [point["step"] for point in points] == [5, 10, 15, 20, 25, 30, 35, 40]
    rates = {point["step"]: point["learning_rate"] for point in points}
    for stage, after in zip(stages, [*(s["from_step"] for s in stages[1:]), 40], strict=True):
        assert rates[after] == pytest.approx(stage["values"][RATE])


@pytest.mark.slow
def test_an_exported_member_trains_on_with_the_numbers_it_ended_with(tmp_path):
    recipe, data = recipe_of("vae")
    short = trained(selection=PBT, workdir=tmp_path / "all", steps=30)
    n = short.events[-1]["member"]
    short.export(n, tmp_path / "one")
    longer = trained(selection=PBT._replace(rounds=lambda facts: (10, 20)), steps=40)
    assert longer.events == short.events
    training = {**SIZES, "steps": 40}
    member = {RATE: short.configs[n].optimizer.learning_rate, SEED: n}
    run = alone(recipe, data, member, workdir=tmp_path / "one", **training)
    assert distance(run.variables, longer.member(n).variables) < 1e-5
    assert (tmp_path / "one" / "lineage.json").exists()


@pytest.mark.slow
def test_members_of_several_programs_and_turns_are_halved_together(monkeypatch, tmp_path):
    members = [{SIZE: d, RATE: r} for d in (2, 3) for r in (1e-3, 3e-3)]
    monkeypatch.setattr("ae_jax.population.fit.budget_of", lambda *_: 1)
    found = trained(members, workdir=tmp_path, selection=successive_halving())
    assert found.summary["turns"] == 1  # of four
    gone = [row["member"] for row in found.table if row["rung"] == 0]
    at = [p for p in ae.read_metrics(tmp_path) if (p["step"], p["split"]) == (10, "test")]
    losses = {p["member"]: p["loss"] for p in at}
    assert gone == sorted(sorted(losses, key=losses.__getitem__)[2:])
    assert [int(found.state(n).step) for n in gone] == [10, 10]
    assert_same(ae.load_population(tmp_path), found, loaded=True)
