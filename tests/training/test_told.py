"""Optimizers that are told the loss, and those that keep an average, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.training import init_state, make_step
from tests import fast, small
from tests.training.test_step import WIDTH, batch, by_hand, linear_autoencoder, players_of


def stepped(optimizer, steps=1):
    """States before and after each step on one and the same batch."""
    model, objective = linear_autoencoder()
    players = players_of(model, objective, optimizer)
    step = fast.jit(make_step(model, players, 100))
    states = [small.filled_state(model, players)]
    for _ in range(steps):
        states.append(step(states[-1], batch())[0])
    return states


def loss_of(state):
    return by_hand(state.variables.params, np.float64(batch().x))


def test_the_step_of_polyak_is_the_loss_over_the_squared_gradient():
    before, after = stepped(optax.polyak_sgd(max_learning_rate=1e3, f_min=2.0))
    loss, grads = loss_of(before)
    rate = (loss - 2.0) / sum((g**2).sum() for g in jax.tree.leaves(grads))
    expected = jax.tree.map(lambda p, g: p - rate * g, before.variables.params, grads)
    assert small.distance(after.variables.params, expected) < 1e-5


def test_a_plateau_is_one_of_the_loss():
    plateau = optax.contrib.reduce_on_plateau(factor=0.5, patience=2, accumulation_size=1)
    states = stepped(optax.chain(optax.sgd(0.0), plateau), 6)
    scales = [float(state.optimizer["model"][1].scale) for state in states]
    assert scales == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_lbfgs_descends_to_the_loss_of_principal_components():
    states = stepped(optax.lbfgs(), 40)
    x = np.float64(batch().x)
    left = np.linalg.svd(x - x.mean(0), compute_uv=False)[2:]
    best = 0.5 * (left**2).sum() / len(x) + 0.5 * WIDTH * np.log(2 * np.pi)
    losses = [loss_of(state)[0] for state in states]
    assert np.all(np.diff(losses) <= 1e-5)
    assert losses[-1] - best < 1e-3 < 0.1 < losses[1] - best


def told(learning_rate):
    """Gradient descent by what an optimizer is told, as far from the gradients as can be."""

    def update(grads, state, params=None, *, value, grad, value_fn, **others):
        del grads, others
        again, slope = jax.value_and_grad(value_fn)(params)
        ratio = again / value
        return jax.tree.map(lambda a, b: -learning_rate * ratio * (a + b) / 2, slope, grad), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


@pytest.mark.parametrize(
    ("strategy", "devices", "accumulation"),
    [
        ("pmap", 4, 1),
        pytest.param("pmap", 1, 2, marks=pytest.mark.slow),
        pytest.param("pmap", 4, 2, marks=pytest.mark.slow),
        pytest.param("shard_map", 4, 1, marks=pytest.mark.slow),
        pytest.param("fsdp", 4, 1, marks=pytest.mark.slow),
    ],
)
def test_value_gradient_and_function_are_those_of_the_global_batch(strategy, devices, accumulation):
    section = {**ae.config.DEFAULTS["optimizer"], "learning_rate": 0.01}
    parallel = {**ae.config.DEFAULTS["parallel"], "strategy": strategy, "devices": devices}
    names = f"{__name__}:told", "sgd"
    runs = [
        small.train(
            parallel=parallel,
            optimizer=section | {"name": name},
            accumulation=accumulation,
            steps=4,
            eval_every=4,
        )
        for name in names
    ]
    assert small.distance(runs[0].variables.params, runs[1].variables.params) < 1e-5
    start = ae.Variables(*[runs[0].model.init(jax.random.key(0), np.zeros(WIDTH)).params, {}])
    assert small.distance(runs[0].variables.params, start.params) > 1e-3


def test_the_averaged_point_is_the_mean_of_the_iterates():
    states = stepped(
        optax.chain(optax.clip_by_global_norm(1e9), optax.contrib.schedule_free_sgd(0.02)), 5
    )
    iterates = [state.optimizer["model"][1].z for state in states[1:]]
    mean = jax.tree.map(lambda *z: np.mean(np.float64(z), 0), *iterates)
    assert small.distance(states[-1].evaluated.params, mean) < 1e-5
    assert small.distance(states[-1].variables.params, mean) > 1e-4


def test_a_run_uses_keeps_and_judges_the_averaged_point(tmp_path):
    section = {**ae.config.DEFAULTS["optimizer"], "name": "schedule_free_adamw"}
    fields = {"optimizer": section | {"learning_rate": 0.02}, "steps": 6, "eval_every": 3}
    run = small.train(tmp_path, checkpoint_every=3, **fields)
    tree = small.newest(tmp_path)
    small.assert_identical(run.variables.params, tree["average"])
    small.assert_identical(ae.load(tmp_path).variables.params, tree["average"])
    assert small.distance(tree["params"], tree["average"]) > 1e-4
    test = run.evaluate(ae.data.Arrays(small.arrays()[small.TRAIN :]))
    assert test["loss"] == pytest.approx(run.summary["metrics"]["test"]["loss"], rel=1e-5)


def test_two_averages_are_refused():
    model, objective = linear_autoencoder()
    players = players_of(model, objective, optax.contrib.schedule_free_sgd(0.1))
    with pytest.raises(ae.errors.ConfigError, match="leave training.average_decay unset"):
        jax.eval_shape(lambda x: init_state(model, players, x, 0, averaged=True), jnp.zeros(WIDTH))
