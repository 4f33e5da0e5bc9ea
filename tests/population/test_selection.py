"""What a selection decides, and what it refuses: before anything is trained."""

import functools
import json
import types

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, PartError, UnknownNameError
from ae_jax.population import groups as groups_lib
from ae_jax.population import population_based, rungs, successive_halving
from ae_jax.population.members import members_of
from ae_jax.population.rounds import Rounds, fate, lineage, rounds_of, told
from ae_jax.population.selection import SELECTIONS, Choice, Facts
from ae_jax.recipes.recipe import Recipe
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.members import over
from tests import small
from tests.population.alone import RATE
from tests.population.test_halving import reference

KL, SIZE = "objective.kl.weight", "model.bottleneck.latent_dim"


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
    chosen = lambda choice: (choice.source, choice.values)
    jax.tree.map(np.testing.assert_array_equal, chosen(first), chosen(again))
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
