"""A population is its members trained alone, side by side: values, files, divergence, resuming."""

import json
import signal

import jax
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, Preempted, WorkdirError
from ae_jax.population.stack import fitting
from ae_jax.runs.pictures import Pictures
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.members import over
from tests import small
from tests.population.alone import RATE, SIZES, alone, distance, population, recipe_of, weight_of
from tests.training.test_checkpoint import folder, truncate

SEED = "training.seed"
KL = "objective.kl.weight"
MEMBERS = [
    {SEED: 0, RATE: 1e-3, KL: 0.5},
    {SEED: 1, RATE: 2e-3, KL: 1.0},
    {SEED: 7, RATE: 5e-4, KL: 2.0},
]
TIGHT = 1e-5


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    monkeypatch.setattr(Pictures, "draw", lambda *_: None)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Three members on two devices, with a copy to fill them up."""
    recipe, data = recipe_of("vae")
    workdir = tmp_path_factory.mktemp("population")
    return population(recipe, data, MEMBERS, devices=2, workdir=workdir)


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def assert_as_alone(found, number, run):
    assert distance(found.member(number).variables, run.variables) < TIGHT
    for split, metrics in found.table[number]["metrics"].items():
        expected = run.summary["metrics"][split]
        for name, value in metrics.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.devices(2)
def test_a_member_is_the_model_trained_alone(swept):
    recipe, data = recipe_of("vae")
    assert_as_alone(swept, 1, alone(recipe, data, MEMBERS[1]))
    others = [distance(swept.member(n).variables, swept.member(1).variables) for n in (0, 2)]
    assert min(others) > 100 * TIGHT  # so that the comparison could have failed


@pytest.mark.devices(2)
def test_files_of_a_population(swept):
    assert swept.summary["compiles"] == {"population train": 1, "population evaluate": 1}
    assert (swept.summary["status"], swept.summary["diverged"]) == ("finished", [])
    points = ae.read_metrics(swept.workdir)
    assert {point["member"] for point in points} == {0, 1, 2}
    last = {p["member"]: p["loss"] for p in points if (p["step"], p["split"]) == (100, "test")}
    losses = [row["metrics"]["test"]["loss"] for row in swept.table]
    assert [last[n] for n in range(3)] == losses
    assert swept.best() == int(np.argmin(losses))
    assert swept.best("kl", largest=True) == int(
        np.argmax([row["metrics"]["test"]["kl"] for row in swept.table])
    )
    assert swept.describe().splitlines()[2].split()[:5] == ["1", "1", "0.002", "1", "trained"]
    with pytest.raises(ConfigError, match="no metric is called 'los'; did you mean 'loss'"):
        swept.best("los")
    with pytest.raises(ConfigError, match="no member 3: there are 3"):
        swept.member(3)
    stored = json.loads((swept.workdir / "config.json").read_text())
    assert stored["members"] == MEMBERS


@pytest.mark.devices(2)
def test_a_population_is_loaded_and_its_member_exported(swept, tmp_path):
    again = ae.load_population(swept.workdir)
    for n in range(3):
        assert_equal(again.member(n).variables, swept.member(n).variables)
    with pytest.raises(WorkdirError, match="population of 3 members: ae.load_population"):
        ae.load(swept.workdir)
    run = again.export(2, tmp_path / "one")
    assert_equal(run.variables, swept.member(2).variables)
    loaded = ae.load(tmp_path / "one")
    assert_equal(loaded.variables, swept.member(2).variables)
    assert loaded.config.optimizer.learning_rate == MEMBERS[2][RATE]
    assert loaded.config.objective["kl"]["weight"] == MEMBERS[2][KL]
    assert [p["step"] for p in ae.read_metrics(tmp_path / "one")] == [0, 50, 100, 100]
    with pytest.raises(WorkdirError, match="already holds a run"):
        again.export(0, tmp_path / "one")


@pytest.mark.devices(2)
def test_other_members_are_another_population(swept):
    recipe, data = recipe_of("vae")
    others = [{**member, KL: 3.0} for member in MEMBERS]
    with pytest.raises(WorkdirError, match="3 other members"):
        population(recipe, data, others, devices=2, workdir=swept.workdir)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sparse", "vq_vae", "gan"])
def test_recipes_of_every_family(name):
    recipe, data = recipe_of(name)
    path = weight_of(recipe)
    members = [{SEED: seed, RATE: 1e-3 * (1 + seed), path: 0.5 + seed} for seed in range(2)]
    found = population(recipe, data, members)
    assert len(found.groups) == 1
    assert_as_alone(found, 1, alone(recipe, data, members[1]))


@pytest.mark.slow
@pytest.mark.devices(4)
@pytest.mark.parametrize(("devices", "form"), [(4, "vmap"), (1, "map")])
def test_devices_and_forms(swept, devices, form):
    recipe, data = recipe_of("vae")
    found = population(recipe, data, MEMBERS, devices=devices, form=form)
    for n in range(3):
        assert distance(found.member(n).variables, swept.member(n).variables) < TIGHT


@pytest.mark.slow
def test_a_diverging_member_leaves_the_others_as_they_are():
    recipe, data = recipe_of("vae")
    shared = [{RATE: rate} for rate in (1e-3, 2e-3)]
    tame = population(recipe, data, [*shared, {RATE: 5e-4}])
    wild = population(recipe, data, [*shared, {RATE: 1e3}])
    assert [row["status"] for row in wild.table] == ["trained", "trained", "diverged"]
    assert (wild.summary["diverged"], tame.summary["diverged"]) == ([2], [])
    assert wild.best() in (0, 1)
    for n in range(2):
        assert_equal(wild.state(n), tame.state(n))


@pytest.mark.slow
def test_a_killed_sweep_goes_on_bit_for_bit(tmp_path):
    recipe, data = recipe_of("vae")
    sizes = {"steps": 40, "log_every": 10, "checkpoint_every": 20, "devices": 1}
    whole = population(recipe, data, MEMBERS, **sizes)

    def kill(point):
        if point.step == 30 and point.member == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Preempted):
        population(recipe, data, MEMBERS, workdir=tmp_path, callbacks=[kill], **sizes)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "preempted"
    found = population(recipe, data, MEMBERS, workdir=tmp_path, **sizes)
    assert found.summary["restarts"] == 1
    for n in range(3):
        assert_equal(found.state(n), whole.state(n))
    again = population(recipe, data, MEMBERS, workdir=tmp_path, **sizes)  # nothing is left to do
    assert again.summary == found.summary
    truncate(folder(tmp_path, 40))
    population(recipe, data, MEMBERS, workdir=tmp_path, **sizes)  # from step 30
    for n in range(3):
        assert_equal(ae.load_population(tmp_path).member(n).variables, whole.member(n).variables)


@pytest.mark.slow
def test_an_exported_member_trains_on(swept, tmp_path):
    """To the state of a member of a longer population."""
    recipe, data = recipe_of("vae")
    population(recipe, data, MEMBERS[:2], workdir=tmp_path / "all", steps=20).export(
        1, tmp_path / "one"
    )
    training = {**SIZES, "steps": 100}
    run = alone(recipe, data, MEMBERS[1], workdir=tmp_path / "one", **training)
    assert run.summary["restarts"] == 0
    assert run.summary["steps"] == 100
    assert distance(run.variables, swept.member(1).variables) < TIGHT


@pytest.mark.slow
def test_many_members_are_one_program():
    recipe, data = recipe_of("vae")
    vary = {SEED: range(64), KL: [0.5, 1.0, 2.0, 4.0]}
    with small.compilations() as compiled:
        found = population(recipe, data, vary, steps=6, log_every=3, eval_every=3)
    assert len(found) == 256
    once = {"jit(population train)": 1, "jit(population evaluate)": 1}
    assert set(found.summary["compiles"].values()) == {1}  # so often traced
    assert {name: n for name, n in compiled.items() if "population" in name} == once  # by XLA


@pytest.mark.slow
def test_latent_sizes_take_turns_and_so_do_members_beyond_memory(monkeypatch):
    recipe, data = recipe_of("vae")
    size = "model.bottleneck.latent_dim"
    members = [{size: d, KL: w} for w in (0.5, 1.0) for d in (2, 3)]
    monkeypatch.setattr("ae_jax.population.fit.budget_of", lambda *_: 1)
    found = population(recipe, data, members, steps=20, devices=1)
    assert [list(group) for group in found.groups] == [[0, 2], [1, 3]]
    assert (found.summary["programs"], found.summary["turns"]) == (2, 4)
    assert found.member(3).encode(data).shape == (len(data), 3)
    run = alone(recipe, data, members[3], steps=20)
    assert distance(found.member(3).variables, run.variables) < TIGHT


def test_what_no_program_can_train_is_refused_before_compiling():
    recipe, before = small.vae(), parallel.counts.copy()
    rates = {"vary": {RATE: [1e-3, -1.0]}, "progress": False}
    with pytest.raises(ConfigError, match=r"member 1 \(optimizer.learning_rate=-1.0\).*positive"):
        ae.fit_population_config(small.config(recipe), **rates)
    streamed = small.config(recipe, data={"engine": "streaming"})
    with pytest.raises(ConfigError, match="data.engine='streaming'.*one by one"):
        ae.fit_population_config(streamed, **rates)
    with pytest.raises(ConfigError, match="'optimizer.learning_rate' cannot vary.*Python object"):
        population(recipe, small.arrays(), optimizer=optax.sgd(0.1), members=rates["vary"])
    assert parallel.counts == before


def test_as_many_side_by_side_as_memory_holds():
    members = over(jax.devices()[:1])
    needed = lambda size: 10 * size
    assert fitting(32, members, None, 0, needed) == 32
    assert fitting(32, members, 400, 50, needed) == 32
    # Of 250 bytes 50 are the states': 20 members at once, so that two turns of 16 are enough.
    assert fitting(32, members, 250, 50, needed) == 16
    assert fitting(32, members, 1, 50, needed) == 1
