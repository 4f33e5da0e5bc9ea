"""The step against gradients and updates written out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax import keys
from ae_jax.training import init_state, make_step, single_player
from ae_jax.training import step as step_lib
from ae_jax.training.parallel import strategies as parallel
from ae_jax.types import Collectives
from tests import small

WIDTH, BATCH = small.WIDTH, 16
AXIS = "devices"


@functools.cache
def linear_autoencoder():
    """y = x A + a, x̂ = y B + b: small enough to differentiate by hand."""
    network = ae.networks.linear()
    recipe = ae.recipes.autoencoder(2, encoder=network, decoder=network)
    return recipe.build(ae.Spec((WIDTH,), "real"))


def batch(valid=None):
    return ae.Batch(jnp.asarray(small.arrays()[:BATCH]), valid=valid)


def players_of(model, objective, optimizer):
    variables = jax.eval_shape(model.init, jax.random.key(0), np.zeros(WIDTH, np.float32))
    return single_player(objective, optimizer, variables)


def initialised(model, players):
    return jax.eval_shape(lambda x: init_state(model, players, x, 0), np.zeros(WIDTH, np.float32))


def by_hand(params, x):
    """Loss ½ Σ (x - x̂)² + ½ d log 2π and its gradients in NumPy, means over the rows of x."""
    (a_w, a_b), (b_w, b_b) = (
        (np.float64(params[part]["output"]["kernel"]), np.float64(params[part]["output"]["bias"]))
        for part in ("encoder", "decoder")
    )
    z = x @ a_w + a_b
    error = z @ b_w + b_b - x
    loss = 0.5 * (error**2).sum(1).mean() + 0.5 * x.shape[1] * np.log(2 * np.pi)
    into_z = error @ b_w.T
    n = len(x)
    grads = {
        "encoder": {"output": {"kernel": x.T @ into_z / n, "bias": into_z.mean(0)}},
        "decoder": {"output": {"kernel": z.T @ error / n, "bias": error.mean(0)}},
    }
    return loss, grads


def test_one_step_is_the_hand_written_gradient_and_optax_update():
    model, objective = linear_autoencoder()
    players = players_of(model, objective, optax.sgd(0.05))
    state = small.filled_state(model, players)
    after, metrics = jax.jit(make_step(model, players, 100))(state, batch())
    loss, grads = by_hand(state.variables.params, np.float64(batch().x))
    expected = jax.tree.map(lambda p, g: np.float64(p) - 0.05 * g, state.variables.params, grads)
    assert small.distance(after.variables.params, expected) < 1e-6
    assert float(metrics["loss"]) == pytest.approx(loss, rel=1e-6)
    assert metrics["loss"] == metrics["reconstruction"]
    norm = np.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads)))
    assert float(metrics["grad_norm"]) == pytest.approx(norm, rel=1e-5)
    assert (int(after.step), float(metrics["skipped"])) == (1, 0)


def test_the_gradients_norm_by_columns_is_numpys():
    rng = np.random.default_rng(0)
    for shapes in ([()], [(3,), ()], [(784, 500), (500,)], [(3, 3, 4, 8), (1, 7), (0, 5)]):
        tree = [np.asarray(rng.normal(size=shape), np.float32) for shape in shapes]
        right = np.sqrt(sum((np.float64(leaf) ** 2).sum() for leaf in tree))
        assert float(jax.jit(step_lib._norm)(tree)) == pytest.approx(right, rel=1e-6)
    assert not np.isfinite(float(step_lib._norm([np.ones((2, 2), np.float32) * np.nan])))


def test_accelerators_select_what_a_cpu_branches_to(monkeypatch):
    model, objective = linear_autoencoder()
    players = players_of(model, objective, optax.adam(1e-2))
    state = small.filled_state(model, players)
    poisoned = batch()._replace(x=batch().x.at[0, 0].set(jnp.nan))

    def both_steps():
        step = jax.jit(make_step(model, players, 100))
        return step(state, batch())[0], step(state, poisoned)[0]

    learnt = lambda state: (state.variables, state.optimizer)
    here = both_steps()
    choose = lambda *args, cpu, default: default(*args)
    monkeypatch.setattr(jax.lax, "platform_dependent", choose)
    there = both_steps()
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-8)
    jax.tree.map(close, learnt(here[0]), learnt(there[0]))
    for kept in (here[1], there[1]):
        jax.tree.map(np.testing.assert_array_equal, learnt(kept), learnt(state))
        assert (int(kept.step), int(kept.skipped)) == (int(state.step) + 1, int(state.skipped) + 1)


def test_several_adam_steps_are_those_of_optax_on_hand_written_gradients():
    model, objective = linear_autoencoder()
    optimizer = optax.adam(1e-2)
    players = players_of(model, objective, optimizer)
    state = small.filled_state(model, players)
    step = jax.jit(make_step(model, players, 100))
    params = state.variables.params
    own = optimizer.init(params)
    for _ in range(5):
        state, _ = step(state, batch())
        grads = by_hand(params, np.float64(batch().x))[1]
        updates, own = optimizer.update(jax.tree.map(jnp.float32, grads), own, params)
        params = optax.apply_updates(params, updates)
    assert small.distance(state.variables.params, params) < 1e-5


def test_padding_has_no_part_in_loss_or_gradients():
    model, objective = linear_autoencoder()
    players = players_of(model, objective, optax.sgd(0.05))
    state = small.filled_state(model, players)
    padded = batch(valid=jnp.arange(BATCH) < 11)
    padded = padded._replace(x=padded.x.at[11:].set(1e3))
    after, metrics = jax.jit(make_step(model, players, 100))(state, padded)
    loss, grads = by_hand(state.variables.params, np.float64(padded.x[:11]))
    expected = jax.tree.map(lambda p, g: np.float64(p) - 0.05 * g, state.variables.params, grads)
    assert float(metrics["loss"]) == pytest.approx(loss, rel=1e-6)
    assert small.distance(after.variables.params, expected) < 1e-6


@ae.term(batch_coupled=True)
def spread(outputs, context):
    """Two batch-coupled quantities: a mean and all pairs of the whole batch."""
    z = outputs.z[:, 0]
    everyone, valid = context.gather(z), context.all_valid()
    pairs = jnp.sum((everyone[:, None] - everyone[None]) ** 2, axis=-1)
    pairs = jnp.sum(jnp.where(valid[:, None] & valid[None], pairs, 0.0))
    return pairs / jnp.sum(valid) ** 2 + jnp.sum(context.mean(z) ** 2)


@pytest.mark.parametrize("devices", [4])
def test_shards_with_collectives_are_the_whole_batch_on_one_device(devices):
    model, objective = small.vae().build(ae.Spec((WIDTH,), "real"))
    players = players_of(model, objective + 0.3 * spread(), optax.sgd(0.05))
    state = small.filled_state(model, players)
    step = make_step(model, players, 100)
    valid = jnp.arange(BATCH) % 5 != 3  # unevenly over the devices
    whole, metrics = jax.jit(step)(state, batch(valid))

    fold = lambda v: v.reshape(devices, -1, *v.shape[1:])
    sharded = jax.tree.map(fold, batch(valid))
    places = fold(jnp.arange(BATCH, dtype=jnp.uint32))
    across = parallel.collectives(devices)
    run = jax.pmap(
        lambda b, p: step(state, b, p, across), axis_name=AXIS, devices=jax.devices()[:devices]
    )
    parts, parted = run(sharded, places)
    assert metrics.keys() == parted.keys()
    for name, value in metrics.items():
        np.testing.assert_allclose(parted[name], float(value), rtol=2e-6, err_msg=name)
    for device in range(devices):
        mine = jax.tree.map(lambda leaf: leaf[device], parts.variables.params)  # noqa: B023
        assert small.distance(mine, whole.variables.params) < 1e-6


def test_one_device_uses_no_collectives():
    assert parallel.collectives(1) == Collectives()


def test_a_player_that_moves_every_second_step_moves_only_then():
    model, objective = linear_autoencoder()
    players = (
        ae.Player(("encoder",), objective, optax.sgd(0.05), name="first"),
        ae.Player(("decoder",), 2 * objective, optax.sgd(0.05, momentum=0.9), 2, "second"),
    )
    state = small.filled_state(model, players)
    step = jax.jit(make_step(model, players, 100))
    for turn in range(4):
        old, (state, metrics) = state, step(state, batch())
        change = {
            k: small.distance(state.variables.params[k], old.variables.params[k])
            for k in ("encoder", "decoder")
        }
        assert change["encoder"] > 0
        assert (change["decoder"] > 0) == (turn % 2 == 0)
        if turn % 2:
            small.assert_identical(state.optimizer["second"], old.optimizer["second"])
    assert {"first/loss", "first/grad_norm", "second/loss", "second/reconstruction"} < set(metrics)


def test_players_move_in_turn_each_from_where_the_one_before_left():
    model, objective = linear_autoencoder()
    players = (
        ae.Player(("encoder",), objective, optax.sgd(0.05), name="first"),
        ae.Player(("decoder",), objective, optax.sgd(0.05), name="second"),
    )
    state = small.filled_state(model, players)
    after, metrics = jax.jit(make_step(model, players, 100))(state, batch())
    x, params = np.float64(batch().x), state.variables.params
    move = lambda p, g: np.float64(p) - 0.05 * g
    loss, grads = by_hand(params, x)
    between = params | {"encoder": jax.tree.map(move, params["encoder"], grads["encoder"])}
    second, grads = by_hand(between, x)
    expected = between | {"decoder": jax.tree.map(move, params["decoder"], grads["decoder"])}
    assert second < loss
    assert float(metrics["second/loss"]) == pytest.approx(second, rel=1e-6)
    assert small.distance(after.variables.params, expected) < 1e-6


@pytest.mark.slow
def test_the_noise_of_a_step_hangs_on_seed_step_and_place_alone():
    model, objective = small.vae().build(ae.Spec((WIDTH,), "real"))
    players = players_of(model, objective, optax.sgd(0.0))
    step = jax.jit(make_step(model, players, 100))
    state = small.filled_state(model, players)
    loss = lambda state, places=None: float(step(state, batch(), places)[1]["reconstruction"])
    same = loss(state)
    assert loss(state) == same
    assert loss(state, jnp.arange(BATCH, dtype=jnp.uint32)) == same
    assert loss(state, jnp.arange(BATCH, dtype=jnp.uint32) + 1) != same
    assert loss(state._replace(step=state.step + 1)) != same
    assert loss(state._replace(root=jax.random.key(1))) != same
    drawn = keys.for_examples(state.root, state.step, jnp.arange(2, dtype=jnp.uint32)).latent
    assert len(set(map(tuple, jax.random.key_data(drawn).tolist()))) == 2


def test_parameters_that_nobody_moves_or_that_do_not_exist_are_refused():
    model, objective = linear_autoencoder()
    with pytest.raises(ae.errors.ConfigError, match="no player moves the parameters decoder"):
        initialised(model, (ae.Player(("encoder",), objective, optax.sgd(1.0)),))
    wrong = (ae.Player(("encoder", "decodr"), objective, optax.sgd(1.0)),)
    with pytest.raises(ae.errors.ConfigError, match="'decodr'.*did you mean 'decoder'"):
        initialised(model, wrong)


def counting_autoencoder():
    """A bottleneck that counts the examples it has seen and remembers their mean code."""
    model, objective = linear_autoencoder()
    bottleneck = model.bottleneck._replace(
        init=lambda key: ({}, {"count": jnp.zeros(()), "mean": jnp.zeros(2)}),
        stats=lambda state, posterior, z: {"count": jnp.ones(()), "sum": z[0]},
        update=lambda state, sums, key: {
            "count": state["count"] + sums["count"],
            "mean": sums["sum"] / sums["count"],
        },
    )
    return model._replace(bottleneck=bottleneck), objective


@pytest.mark.parametrize("devices", [1, 4])
def test_a_bottlenecks_state_sees_every_valid_example_of_the_batch_once(devices):
    model, objective = counting_autoencoder()
    players = players_of(model, objective, optax.sgd(0.05))
    start = small.filled_state(model, players)
    fresh = {"bottleneck": {"count": jnp.zeros(()), "mean": jnp.zeros(2)}}
    state = start._replace(variables=start.variables._replace(state=fresh))
    across, step = parallel.collectives(devices), make_step(model, players, 100)
    fold = lambda v: v.reshape(devices, -1, *v.shape[1:])
    valid = jnp.arange(BATCH) % 5 != 3
    run = jax.pmap(
        lambda s, b, p: step(s, b, p, across), AXIS, in_axes=(None, 0, 0),
        devices=jax.devices()[:devices],
    )  # fmt: skip
    after, _ = run(
        state, jax.tree.map(fold, batch(valid)), fold(jnp.arange(BATCH, dtype=jnp.uint32))
    )
    first = jax.tree.map(np.asarray, start.variables.params["encoder"]["output"])
    codes = np.asarray(batch().x)[np.asarray(valid)] @ first["kernel"] + first["bias"]
    found = after.variables.state["bottleneck"]
    assert found["count"].tolist() == [valid.sum()] * devices
    np.testing.assert_allclose(found["mean"], [codes.mean(0)] * devices, rtol=1e-5, atol=1e-6)

    poisoned = batch(valid)._replace(x=batch().x.at[0, 0].set(jnp.nan))
    after, metrics = run(
        state, jax.tree.map(fold, poisoned), fold(jnp.arange(BATCH, dtype=jnp.uint32))
    )
    assert metrics["skipped"].tolist() == [1] * devices
    assert after.variables.state["bottleneck"]["count"].tolist() == [0] * devices
