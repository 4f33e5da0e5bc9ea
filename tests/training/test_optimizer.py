"""Optimizers of a config section: learning-rate shapes against their formulas, and errors."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.config.sections import Optimizer
from ae_jax.training import optimizer as optimizers

STEPS = 40

SHAPES = {
    "constant": lambda t: 1.0,
    "cosine": lambda t: 0.5 * (1 + np.cos(np.pi * t)),
    "linear": lambda t: 1 - t,
}


@pytest.mark.parametrize("schedule", sorted(optimizers.SHAPES))
@pytest.mark.parametrize("warmup", [0, 1, 10, 39])
def test_the_learning_rate_warms_up_linearly_and_follows_its_shape(schedule, warmup):
    rate = optimizers.learning_rate(0.3, schedule, warmup, STEPS)
    if not callable(rate):
        assert (schedule, warmup, rate) == ("constant", 0, 0.3)
        return
    for step in range(STEPS + 1):
        done = (step - warmup) / (STEPS - warmup)
        expected = 0.3 * (step / warmup if step < warmup else SHAPES[schedule](done))
        np.testing.assert_allclose(rate(step), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("schedule", sorted(optimizers.SHAPES))
def test_a_restart_is_two_runs_one_after_the_other(schedule):
    rate = optimizers.learning_rate(0.3, schedule, 4, STEPS, restart=24)
    parts = [optimizers.learning_rate(0.3, schedule, 4, length) for length in (24, STEPS - 24)]
    for step in range(STEPS + 1):
        expected = parts[0](step) if step < 24 else parts[1](step - 24)
        np.testing.assert_allclose(rate(step), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"learning_rate": 0.0}, r"optimizer\.learning_rate must be a positive number, got 0\.0"),
        ({"learning_rate": -1.0}, r"optimizer\.learning_rate must be a positive number, got -1"),
        ({"learning_rate": float("nan")}, r"learning_rate must be a positive number, got nan"),
        ({"schedule": "cosin"}, r"schedule cannot be 'cosin'; did you mean 'cosine'\?"),
        ({"warmup_steps": -1}, r"warmup_steps must lie in \[0, training\.steps=40\), got -1"),
        ({"warmup_steps": 40}, r"warmup_steps must lie in \[0, training\.steps=40\), got 40"),
        ({"name": "adan"}, r"no optimizer is called 'adan'; did you mean 'adam'\?"),
        ({"name": "no_such_package:f"}, "cannot import 'no_such_package:f'"),
        ({"arguments": {"b3": 1}}, r"optimizer 'adam' has no argument 'b3'; did you mean 'b"),
        ({"arguments": {"learning_rate": 1}}, "multiple values for argument 'learning_rate'"),
        ({"arguments": 3}, r"optimizer\.arguments is a section, got 3"),
        ({"restart": 0}, r"optimizer\.restart must lie in \(0, training\.steps=40\), got 0"),
        ({"restart": 40}, r"optimizer\.restart must lie in \(0, training\.steps=40\), got 40"),
        ({"restart": 5, "warmup_steps": 5}, r"restart=5 leaves only 5 of 40 steps on one side"),
        ({"clip_norm": -1.0}, r"optimizer\.clip_norm must be a positive number, got -1\.0"),
    ],
)
def test_a_wrong_section(fields, match):
    with pytest.raises(ae.errors.ConfigError, match=match):
        optimizers.from_config(Optimizer(**fields), STEPS, 128)


def updates(optimizer, gradients):
    """Its updates of a parameter at 1, for these gradients in turn."""
    params = jnp.array([1.0])
    state, moves = optimizer.init(params), []
    for gradient in gradients:
        move, state = optimizer.update(jnp.array([gradient]), state, params)
        moves.append(float(move[0]))
    return moves


def test_sgd_moves_by_the_scheduled_rate():
    section = Optimizer(name="sgd", learning_rate=0.5, schedule="linear")
    got = updates(optimizers.from_config(section, 4, 128), [1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(got, [-0.5, -0.375, -0.25, -0.125], rtol=1e-6)


def test_arguments_reach_the_optimizer():
    section = Optimizer(name="sgd", learning_rate=1.0, arguments={"momentum": 0.5})
    got = updates(optimizers.from_config(section, 4, 128), [1.0, 1.0, 1.0])
    np.testing.assert_allclose(got, [-1, -1.5, -1.75], rtol=1e-6)


def test_clipping_comes_before_the_optimizer():
    section = Optimizer(name="sgd", learning_rate=1.0, clip_norm=2.0)
    got = updates(optimizers.from_config(section, 4, 128), [10.0, 1.0, -10.0])
    np.testing.assert_allclose(got, [-2, -1, 2], rtol=1e-6)


def test_adam_is_the_default_and_moves_by_its_rate():
    np.testing.assert_allclose(
        updates(optimizers.from_config(Optimizer(), 4, 128), [7.0]), -1e-3, rtol=1e-4
    )


def test_a_factory_of_the_users_own():
    section = Optimizer(name="optax:sgd", learning_rate=0.25)
    assert updates(optimizers.from_config(section, 4, 128), [1.0]) == [-0.25]


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_every_named_optimizer_descends(name):
    optimizer = optimizers.from_config(Optimizer(name=name, warmup_steps=1), STEPS, 128)
    first, second = updates(optimizer, [1.0, 1.0])
    assert first == 0  # the warm-up starts at zero
    assert second < 0
    assert isinstance(optimizer, optax.GradientTransformation)


@pytest.mark.parametrize(("batch_size", "factor"), [(128, 0.5), (256, 1.0), (1024, 4.0)])
def test_the_learning_rate_grows_with_the_batch(batch_size, factor):
    section = Optimizer(name="sgd", learning_rate=0.5, base_batch_size=256)
    got = updates(optimizers.from_config(section, 4, batch_size), [1.0])
    np.testing.assert_allclose(got, [-0.5 * factor], rtol=1e-6)
