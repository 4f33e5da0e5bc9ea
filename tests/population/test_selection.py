"""Populations selected while they train: who stops, who goes on from whom, and resuming."""

import functools
import json
import shutil
import signal
import types

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, PartError, Preempted, UnknownNameError, WorkdirError
from ae_jax.population import groups as groups_lib
from ae_jax.population import population_based, rungs, successive_halving
from ae_jax.population.members import members_of
from ae_jax.population.rounds import Rounds, fate, lineage, rounds_of, told
from ae_jax.population.selection import SELECTIONS, Choice, Facts
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs.pictures import Pictures
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.members import over
from tests import small
from tests.population.alone import RATE, alone, distance, population, recipe_of
from tests.population.test_halving import reference

SEED, KL, SIZE = "training.seed", "objective.kl.weight", "model.bottleneck.latent_dim"
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


# ---- without training -------------------------------------------------------------------------


def facts(members=8, steps=100, programs=1, apart=None, **values):
    rows = {path: np.asarray(row) for path, row in values.items()}
    return Facts(members, steps, 10, rows, apart or {}, programs)


def test_halving_is_held_at_the_ends_of_all_rungs_but_the_last():
    assert successive_halving().rounds(facts(16, 1000)) == (62, 125, 250, 500)
    for fraction in (0.3, 0.5):
        expected = tuple(rung.until for rung in rungs(20, 900, fraction)[:-1])
        assert successive_halving(fraction).rounds(facts(20, 900)) == expected


def test_the_best_go_on_in_their_order_with_their_values():
    scores = np.array([0.3, np.nan, 0.1, 9.0, 0.2])
    values = {RATE: np.arange(5.0)}
    choice = successive_halving(0.4).choose(values, scores, None, {})
    assert choice.rows.tolist() == choice.source.tolist() == sorted(reference(scores, 2)) == [2, 4]
    assert choice.values[RATE].tolist() == [2.0, 4.0]


def test_members_lie_evenly_over_devices_and_where_they_did_when_the_stack_is_full():
    for devices in (1, 2, 4):
        members = over(jax.devices()[:1])._replace(mesh=types.SimpleNamespace(size=devices))
        for count in range(1, 9):
            size = members.padded(count)
            assert members.rows(count, size).tolist() == list(range(count))
            rows = members.rows(count, 8)
            shares = np.bincount(rows // (8 // devices), minlength=devices)
            assert shares.max() == -(-count // devices)
            assert len(set(rows)) == count


def test_large_values_may_be_good():
    best = {}
    for largest in (False, True):
        selection = successive_halving(0.25, largest=largest)
        rounds = Rounds(selection, (1,), {}, jax.random.key(0))
        best[largest] = rounds.choose({}, [0.3, np.nan, 0.1, 9.0], 1).rows.tolist()
    assert best == {False: [2], True: [3]}


@pytest.mark.parametrize("rows", [[], [1, 0], [0, 0]])
def test_a_selection_of_the_users_own_keeps_somebody_in_order(rows):
    own = successive_halving()._replace(choose=lambda *_: Choice(rows, rows, {}))
    with pytest.raises(PartError, match=r"must keep one of 2 members or more.*got rows \["):
        Rounds(own, (1,), {}, jax.random.key(0)).choose({}, [1.0, 2.0], 1)


def test_population_based_training_is_exploit_and_explore():
    values = {RATE: np.array([1e-3, 1e-2, 1e-1, 1.0], np.float32), "a": np.arange(4)}
    values["b"] = np.arange(4, dtype=np.float32)
    scores, key, bounds = np.arange(4.0), jax.random.key(3), {RATE: (2e-3, 1.0)}
    choice = population_based(1, fraction=0.5).choose(values, scores, key, bounds)
    state = ae.training.TrainState(*[np.zeros(4)] * 7)
    only = {RATE: values[RATE], "a": values["a"]}
    pure = ae.population.exploit_and_explore(state, only, scores, key, 0.5, bounds=bounds)
    assert choice.rows.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(choice.source, pure.source)
    np.testing.assert_array_equal(choice.values[RATE], pure.values[RATE])
    np.testing.assert_array_equal(choice.values["a"], np.asarray(pure.source))  # whole: copied
    np.testing.assert_array_equal(choice.values["b"], np.asarray(pure.source))  # not explored


def test_its_draws_depend_on_seed_and_step_alone():
    selection = population_based(1, fraction=0.5)
    values, scores = {RATE: np.ones(8, np.float32)}, np.arange(8.0)
    draw = lambda key, step: Rounds(selection, (1, 2), {RATE: (0.1, 9.0)}, key).choose(
        values, scores, step
    )
    first, again = (draw(jax.random.key(0), 1) for _ in range(2))
    assert_equal((first.source, first.values), (again.source, again.values))
    others = [draw(jax.random.key(k), step) for k, step in ((0, 2), (1, 1))]
    for other in others:
        assert not np.array_equal(first.values[RATE], other.values[RATE])


def test_what_varies_is_explored_within_where_it_began():
    begun = {RATE: np.array([1e-3, 0.5], np.float32), "a": np.ones(2, np.float32), "b": [1, 2]}
    bounds = population_based().bounds(facts(2, **begun))
    assert bounds == {RATE: (float(np.float32(1e-3)), 0.5)}
    given = population_based(explore={"a": [0, 2]}).bounds(facts(2, **begun))
    assert given == {"a": (0.0, 2.0)}


BEGUN = {RATE: np.array([1e-3, 1e-2]), "whole": np.array([1, 2]), "same": np.ones(2)}
APART = {"apart": {SIZE: "another form of the state"}}
BAD = [
    (lambda: successive_halving(1.0), r"fraction must lie in \(0, 1\), got 1\.0"),
    (lambda: successive_halving().rounds(facts(1)), "takes 2 members or more, got 1"),
    (lambda: successive_halving().rounds(facts(16, 5)), "steps=5 are too few for 16.*take 12 or"),
    (lambda: population_based(0), "every must be a positive whole number, got 0"),
    (lambda: population_based(fraction=0.7), r"\(0, 0\.5\].*got 0\.7"),
    (lambda: population_based(factors=()), "factors must be one number or more"),
    (lambda: population_based(explore=[RATE]), r"explore must be \{path: \(low, high\)\}"),
    (lambda: population_based(explore={RATE: (2, 1)}), r"low first, got \(2, 1\)"),
    (lambda: population_based(explore={RATE: 3}), r"must be \(low, high\), low first, got 3"),
    (lambda: population_based().rounds(facts(1)), "takes 2 members or more, got 1"),
    (lambda: population_based(200).rounds(facts(4, 100)), "200 steps apart and 100.*every=10, say"),
    (lambda: population_based().bounds(facts(whole=[1, 2])), "nothing to explore.*not whole"),
    (
        lambda: population_based(explore={SIZE: (2, 4)}).bounds(facts(**APART, **BEGUN)),
        f"'{SIZE}' cannot be explored: it is no argument.*another form.*Known: {RATE}, same",
    ),
    (
        lambda: population_based().bounds(facts(programs=3, **APART, **BEGUN)),
        f"'{SIZE}' .another form of the state. splits them into 3: give all",
    ),
    (
        lambda: population_based(explore={"whole": (1, 2)}).bounds(facts(**BEGUN)),
        r"'whole' cannot be explored: its values \[1, 2\] are whole numbers; write 1\.0",
    ),
    (
        lambda: population_based(explore={RATE[:-1]: (1, 2)}).bounds(facts(**BEGUN)),
        f"does not vary.*did you mean '{RATE}'",
    ),
    (lambda: SELECTIONS.build("succesive_halving"), "did you mean 'successive_halving'"),
    (lambda: SELECTIONS.build({"name": "population_based", "evry": 3}), "did you mean 'every'"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ConfigError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "selection",
    [
        successive_halving(0.25, "neg_elbo", True),
        population_based(50, {RATE: (1e-5, 1e-2)}, 0.25, (0.5, 2.0), "kl"),
    ],
)
def test_a_selection_survives_the_round_trip_through_json(selection):
    stored = json.loads(json.dumps(ae.config.to_plain(selection.node)))
    assert SELECTIONS.build(stored).node == selection.node
    hash(selection.node)
    assert population_based(explore={RATE: (1, 2)}).node.to_dict()["explore"] == {RATE: (1, 2)}


@functools.cache
def resolved(*paths):
    values = {RATE: [1e-3, 1e-2], KL: [0.5, 1.0], SIZE: [2, 3]}
    config = ae.config.complete(small.config())
    members = members_of({path: values[path] for path in paths})
    data = ae.data.dataset.of_section(config.data)
    return groups_lib.resolve(config, Recipe.from_config(config), data, members)


def test_a_metric_must_be_known_and_mean_the_same_of_all_members():
    before = parallel.counts.copy()
    with pytest.raises(UnknownNameError, match="called 'neg_elb'; did you mean 'neg_elbo'"):
        rounds_of(resolved(RATE), successive_halving(metric="neg_elb"))
    message = f"metric='loss' weighs each member by its own {KL}.*Known: kl, .*neg_elbo"
    with pytest.raises(ConfigError, match=message):
        rounds_of(resolved(KL), successive_halving())
    assert rounds_of(resolved(KL), successive_halving(metric="neg_elbo")).steps == (15,)
    assert rounds_of(resolved(RATE), "successive_halving").steps == (15,)
    with pytest.raises(ConfigError, match=rf"'{RATE}' cannot be explored up to -1\.0.*positive"):
        rounds_of(resolved(RATE), population_based(5, {RATE: (-1, 1)}))
    with pytest.raises(ConfigError, match="splits them into 2"):
        rounds_of(resolved(RATE, SIZE), population_based(5))
    with pytest.raises(PartError, match="expected a selection, got float"):
        rounds_of(resolved(RATE), 0.5)
    assert parallel.counts == before  # nothing was compiled


def test_a_lineage_follows_the_state_back_through_the_members():
    values = [{RATE: 0.1 * (n + 1)} for n in range(4)]
    event = lambda step, member, source, rate: {
        "step": step,
        "member": member,
        "source": source,
        RATE: rate,
    }
    events = [event(10, 3, 0, 0.7), event(20, 0, 3, 0.8), event(30, 3, 1, 0.9)]
    events += [{"step": 30, "member": 2, "rung": 1}]
    stages = [(s["member"], s["from_step"], s["values"][RATE]) for s in lineage(events, 0, values)]
    assert stages == [(0, 0, 0.1), (3, 10, 0.7), (0, 20, 0.8)]
    stages = [(s["member"], s["from_step"]) for s in lineage(events, 3, values)]
    assert stages == [(1, 0), (3, 30)]
    assert lineage(events, 2, values) == [{"member": 2, "from_step": 0, "values": values[2]}]
    assert fate(events, 3, 2) == (2, 2, 1)
    assert fate(events, 2, 2) == (1, 0, None)
    assert told([0, 1, 2, 3], [0, 1, 3], [0, 1, 1], 3) == (
        "round 3: 2 stop, 3 of 4 go on; starting again: 3 from 1"
    )
    assert told([0, 1], [0, 1], [0, 1], 1) == "round 1: all go on as they are"


# ---- trained ----------------------------------------------------------------------------------


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
