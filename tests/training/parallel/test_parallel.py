"""Where each strategy puts things, what it compiles, and what it takes over from another."""

import dataclasses
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, Preempted
from ae_jax.training import init_state, single_player
from ae_jax.training.loop import Loop
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.strategy import COMPILER_OPTIONS, compiler_options
from ae_jax.training.reporting import Reporter
from tests import small
from tests.training.test_programs import plan_of
from tests.training.test_resume import at, stop


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with small.small_shards():
        yield


def loop_of(strategy, **fields):
    plan = plan_of(parallel={"devices": 4, "strategy": strategy}, **fields)
    state = small.filled_state(plan.model, plan.players)
    return Loop(plan, state, 0, Reporter(None, 0, 30, progress=False))


@pytest.fixture
def compiles():
    """How often XLA compiled each function, by name."""
    with small.compilations() as counted:
        yield counted


@pytest.mark.devices(4)
@pytest.mark.parametrize("strategy", ["shard_map", "fsdp"])
def test_a_program_donates_its_state_is_compiled_once_and_lies_as_it_lay(strategy, compiles):
    loop, before = loop_of(strategy), parallel.counts.copy()
    held = jax.tree.leaves((loop.state.variables, loop.state.optimizer, loop.totals))
    lay = jax.tree.map(lambda leaf: leaf.sharding, loop.state)
    for _ in range(3):
        loop.dispatch()
    assert all(leaf.is_deleted() for leaf in held)
    assert (parallel.counts - before)["trace train"] == 1
    assert sum(number for name, number in compiles.items() if "train" in name) == 1
    same = jax.tree.map(lambda leaf, old: leaf.sharding == old, loop.state, lay)
    assert all(jax.tree.leaves(same))
    records, order_seed = loop.feed.data
    loop.feed.data = (records, np.asarray(order_seed))
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        loop.dispatch()


@pytest.mark.devices(4)
@pytest.mark.parametrize("strategy", sorted(parallel.STRATEGIES))
def test_a_platforms_compiler_options_reach_its_programs_and_change_no_number(
    strategy, monkeypatch, compiles
):
    plain = loop_of(strategy)
    for _ in range(3):
        plain.dispatch()
    compiles.clear()
    monkeypatch.setitem(COMPILER_OPTIONS, "cpu", {"xla_embed_ir_in_executable": True})
    loop = loop_of(strategy)
    held = jax.tree.leaves((loop.state.variables, loop.state.optimizer, loop.totals))
    for _ in range(3):
        loop.dispatch()
    assert all(leaf.is_deleted() for leaf in held)
    assert sum(number for name, number in compiles.items() if "train" in name) <= 1  # or cached
    assert len(loop.feed.program._compiled) == 1
    loop.feed.program.lower(loop.state, loop.totals, *loop.feed.arguments()).compile()
    assert len(loop.feed.program._compiled) == 1  # and what is lowered is the same
    chex.assert_trees_all_equal(parallel.fetch(loop.state), parallel.fetch(plain.state))
    monkeypatch.setitem(COMPILER_OPTIONS, "cpu", {"xla_no_such_option": 1})
    with pytest.raises(Exception, match="No such compile option"):
        loop_of(strategy).dispatch()
    lowered = loop_of(strategy).feed.program.lower
    arguments = loop.state, loop.totals, *loop.feed.arguments()
    with pytest.raises(Exception, match="No such compile option"):
        lowered(*arguments).compile()


@pytest.mark.devices(4)
@pytest.mark.parametrize("strategy", sorted(parallel.STRATEGIES))
def test_a_program_with_compiler_options_may_be_traced(strategy, monkeypatch):
    monkeypatch.setitem(COMPILER_OPTIONS, "cpu", {"xla_embed_ir_in_executable": True})
    over = parallel.STRATEGIES[strategy](jax.devices()[:4])
    twice = over.compile("twice", lambda number, x: 2 * x)
    looped = jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda _, x: twice(x), x))
    x = np.arange(8, dtype=np.float32)
    np.testing.assert_array_equal(twice(x), 2 * x)
    np.testing.assert_array_equal(looped(x), 8 * x)


def test_options_that_the_user_sets_are_left_alone(monkeypatch):
    gpu, none = (types.SimpleNamespace(platform=name) for name in ("gpu", "neither"))
    assert compiler_options([gpu]) == COMPILER_OPTIONS["gpu"]
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_command_buffer= --xla_gpu_autotune_level=0")
    assert compiler_options([gpu]) == {"xla_gpu_graph_min_graph_size": 1}
    assert compiler_options([none]) == {}


@pytest.mark.parametrize(("devices", "shape"), [(8, (1, 8)), (8, (2, 4)), (4, (1, 4))])
def test_fsdp_holds_a_share_of_parameters_and_optimizer_state_on_each_device(devices, shape):
    network = ae.networks.mlp((1024, 1024))
    recipe = ae.recipes.vae(64, encoder=network, decoder=network)
    model, objective = recipe.build(ae.Spec((32, 32), "real"))
    example = np.zeros((32, 32), np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), example)
    players = single_player(objective, optax.adam(1e-3), variables)
    shapes = jax.eval_shape(lambda: init_state(model, players, example, 0))
    shapes = (shapes.variables, shapes.optimizer)
    strategy = parallel.fsdp(
        jax.devices()[:devices], dict(zip(("data", "fsdp"), shape, strict=True))
    )
    state = strategy.place_state(
        jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    )
    leaves = jax.tree.leaves(state)
    total = sum(leaf.nbytes for leaf in leaves)
    assert total > 40e6
    for device in range(devices):
        own = sum(leaf.addressable_shards[device].data.nbytes for leaf in leaves)
        assert own == pytest.approx(total / shape[1], rel=0.1)
    told = jax.tree.map(
        lambda s, leaf: s.sharding == leaf.sharding, strategy.shapes(shapes, "state"), state
    )
    assert all(jax.tree.leaves(told))


@pytest.mark.devices(8)
def test_fsdp_gathers_parameters_and_leaves_their_gradients_split():
    strategy = parallel.fsdp(jax.devices(), {"fsdp": 4}, tile=(1, 1))
    whole, spread = strategy.across.whole, strategy.across.spread

    def per_shard(number, params, x):
        loss = lambda p: jnp.mean(jnp.tanh(spread(x) @ whole(p)) ** 2)
        return jax.grad(loss)(params)

    program = strategy.compile("gradient", per_shard)
    f32 = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    lowered = program.lower(strategy.shapes(f32(64, 32), "state"), strategy.shapes(f32(16, 64)))
    text = lowered.compile().as_text()
    gathered = [
        line for line in text.splitlines() if " all-gather(" in line or "all-gather-start(" in line
    ]
    assert len(gathered) == 1
    assert "f32[64,32]" in gathered[0]
    assert "->f32[16,32]" in text.replace(" ", "")  # a quarter of the gradient on each device


@pytest.mark.devices(8)
def test_what_lies_split_is_fetched_whole():
    strategy = parallel.fsdp(jax.devices(), tile=(1, 1))
    tree = {"a": np.arange(48, dtype=np.float32).reshape(16, 3), "b": np.float32(2)}
    placed = strategy.place_state(tree)
    assert placed["a"].addressable_shards[0].data.shape == (2, 3)
    small.assert_identical(parallel.fetch(placed), tree)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["resident", "streaming"])
def test_a_run_moves_from_strategy_to_strategy_as_if_it_had_never_moved(tmp_path, engine):
    fields = {"log_every": 5, "eval_every": 100, "checkpoint_every": 10, "data": {"engine": engine}}
    never = small.train(tmp_path / "never", devices=4, **fields)
    moves = [("pmap", 4, 10), ("fsdp", 2, 20), ("shard_map", 8, None)]
    for strategy, devices, last in moves:
        section = {"strategy": strategy, "devices": devices}
        if last is None:
            moved = small.train(tmp_path / "moved", parallel=section, **fields)
        else:
            with pytest.raises(Preempted):
                small.train(tmp_path / "moved", [at(last, stop(15))], parallel=section, **fields)
    assert moved.summary["restarts"] == 2
    assert moved.summary["lost_steps"] == 0
    assert small.distance(moved.variables.params, never.variables.params) <= 1e-5
    trees = small.newest(tmp_path / "moved"), small.newest(tmp_path / "never")
    assert small.distance(trees[0]["optimizer"], trees[1]["optimizer"]) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["pmap", "shard_map", "fsdp"])
def test_streamed_microbatches_are_those_of_resident_data(strategy):
    fields = {"parallel": {"strategy": strategy, "devices": 4}, "accumulation": 4}
    runs = [small.train(data={"engine": name}, **fields) for name in ("resident", "streaming")]
    assert small.distance(runs[0].variables.params, runs[1].variables.params) <= 1e-6
    one = small.train(devices=1)
    assert small.distance(runs[0].variables.params, one.variables.params) <= 1e-5
    for name, value in one.summary["metrics"]["test"].items():
        assert runs[1].summary["metrics"]["test"][name] == pytest.approx(value, rel=1e-4)


@pytest.mark.devices(8)
def test_a_run_is_used_on_fewer_devices_than_its_mesh_had():
    section = {"strategy": "fsdp", "mesh": {"data": 2, "fsdp": 4}, "devices": 8}
    plan = plan_of(parallel=section)
    variables = small.filled_state(plan.model, plan.players).variables
    spec = ae.Spec((small.WIDTH,), "real")
    own = (plan.config, plan.preprocessing, spec, spec.event_shape, small.TRAIN, (0.0, 1.0))
    run = ae.Run(plan.model, plan.objective, variables, *own)
    x = small.arrays()[:5]
    mesh = {"parallel.mesh.data": 16, "parallel.mesh.fsdp": 16, "parallel.devices": 256}
    run = dataclasses.replace(run, config=ae.config.replaced(run.config, mesh))
    network = run.variables.params["encoder"]
    hidden = np.maximum(
        run.preprocessing.apply(x) @ network["dense_0"]["kernel"] + network["dense_0"]["bias"], 0
    )
    expected = hidden @ network["output"]["kernel"] + network["output"]["bias"]
    np.testing.assert_allclose(run.encode(x), expected[:, :2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", ["pmap", "shard_map"])
def test_a_mesh_is_for_fsdp(strategy):
    with pytest.raises(ConfigError, match=f"'fsdp': 2.*'{strategy}' has none"):
        parallel.STRATEGIES[strategy](jax.devices(), {"data": None, "fsdp": 2})
