"""Games through `fit`: players take turns, are resumed bit for bit, and are refused in one line."""

import json
from typing import Any

import jax
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, PartError
from ae_jax.networks._layers import MOMENTUM
from ae_jax.runs import summary
from ae_jax.runs.pictures import Pictures
from tests import small

NETWORK = ae.networks.mlp((8,), "tanh")
RING = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    monkeypatch.setattr(Pictures, "draw", lambda *_: None)


def fit(recipe, x=None, **options):
    x = small.arrays() if x is None else x
    options = {"steps": 6, "batch_size": 16, "progress": False} | options
    return ae.fit(recipe, x, **options)


def gan(**parts):
    return ae.recipes.gan(2, decoder=NETWORK, critic=NETWORK, **parts)


def test_a_gan_samples_and_says_why_it_cannot_encode():
    run = fit(gan())
    assert run.sample(5).shape == (5, small.WIDTH)
    assert set(run.variables.params) == {"critic", "decoder"}
    for use in (run.encode, run.reconstruct):
        with pytest.raises(PartError, match="has no encoder.*sample()"):
            use(small.arrays()[:2])
    with pytest.raises(PartError, match="no observations to draw"):
        run.sample(2, observations=True)


def test_metrics_are_those_of_each_player():
    run = fit(gan(), log_every=6)
    train = run.summary["metrics"]["train"]
    assert {"model/generator", "critic/discriminator", "critic/critic_accuracy"} <= set(train)
    assert 0 <= train["critic/critic_accuracy"] <= 1


def test_a_player_moves_every_so_many_steps_from_its_start_on():
    """Of six steps, numbered from 0, the critic moves in 2 and 5, the generator in all."""
    count = optax.GradientTransformation(
        lambda params: np.zeros((), np.int32),
        lambda grads, state, params=None: (jax.tree.map(lambda g: 0 * g, grads), state + 1),
    )
    recipe = gan()
    (critic,) = recipe.players
    slower = critic._replace(every=3, start=2, optimizer=count)
    states = []
    fit(recipe._replace(players=(slower,)), callbacks=[states.append], log_every=1)
    moved = [state.metrics["critic/grad_norm"] > 0 for state in states if state.split == "train"]
    assert len(moved) == 6
    before, after = (fit(recipe._replace(players=(p,)), steps=2) for p in (slower, critic))
    first = fit(recipe._replace(players=(slower,)), steps=1)
    same = jax.tree.map(np.array_equal, before.variables.params, first.variables.params)
    assert all(jax.tree.leaves(same["critic"]))  # it has not begun
    assert not all(jax.tree.leaves(same["decoder"]))
    other = jax.tree.map(np.array_equal, before.variables.params, after.variables.params)
    assert not all(jax.tree.leaves(other["critic"]))


@pytest.mark.parametrize("name", ["gan", "adversarial_autoencoder"])
def test_a_resumed_game_is_bit_for_bit_the_one_never_stopped(tmp_path, name):
    recipe = {
        "gan": gan(r1=0.1),
        "adversarial_autoencoder": ae.recipes.adversarial_autoencoder(
            2, encoder=NETWORK, decoder=NETWORK, critic=NETWORK
        ),
    }[name]
    section = {"name": "adam", "learning_rate": 1e-3}
    options = {"optimizer": section, "checkpoint_every": 3}
    fit(recipe, workdir=tmp_path / "whole", **options)
    fit(recipe, workdir=tmp_path / "parts", **options | {"steps": 3})
    fit(recipe, workdir=tmp_path / "parts", **options)
    small.assert_identical(small.newest(tmp_path / "parts"), small.newest(tmp_path / "whole"))


def test_a_loaded_game_is_the_one_that_was_fitted(tmp_path):
    run = fit(gan(r1=0.5), workdir=tmp_path)
    loaded = ae.load(tmp_path)
    np.testing.assert_array_equal(loaded.sample(4, seed=1), run.sample(4, seed=1))
    assert loaded.evaluate(small.arrays()[:16]).keys() == run.evaluate(small.arrays()[:16]).keys()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"every": 0}, ConfigError, "players.critic.every must be a positive whole number, got 0"),
        ({"params": ("critc",)}, ConfigError, "critc.*did you mean 'critic'"),
        (
            {"objective": ae.terms.discriminator(critic="judge")},
            PartError,
            "no critic 'judge'.*Known: critic",
        ),
        (
            {"objective": ae.terms.discriminator(real="code", fake="prior")},
            PartError,
            "reads 'x', but is given 'code'",
        ),
    ],
)
def test_games_that_cannot_be_played_are_refused(change, error, message):
    recipe = gan()
    (critic,) = recipe.players
    with pytest.raises(error, match=message):
        fit(recipe._replace(players=(critic._replace(**change),)))


def test_a_critics_kept_statistics_are_those_of_the_data_alone():
    x = small.arrays()[:16]
    normalised = ae.networks.mlp((8,), "tanh", normalisation="batch")
    recipe = ae.recipes.gan(2, decoder=NETWORK, critic=normalised)
    model, objective = recipe.build(ae.spec_of(x))
    sgd = optax.sgd(0.1)
    (rival,) = recipe.players
    rival = rival._replace(params=("critic",), optimizer=sgd)
    players = (ae.Player(("decoder",), objective, sgd), rival)
    state = ae.training.init_state(model, players, x[0], seed=0)
    first: Any = jax.device_get(state.variables.params["critic"])["dense_0"]
    state, _ = jax.jit(ae.training.make_step(model, players, num_train=len(x)))(state, ae.Batch(x))
    kept: Any = state.variables.state["critic"]
    seen = x @ first["kernel"] + first["bias"]
    moved = np.asarray(kept["batch_stats"]["norm_0"]["mean"]) / (1 - MOMENTUM)
    np.testing.assert_allclose(moved, seen.mean(0), rtol=1e-4, atol=1e-5)


def test_a_network_that_nobody_moves_is_refused():
    with pytest.raises(ConfigError, match="critic"):
        fit(gan()._replace(players=()))


def test_a_run_whose_game_is_lost_says_so():
    lines = summary.of_game({"critic/critic_accuracy": 0.995}, {"spread": 0.02})
    assert "the critic has won: it is right in 99.5%" in lines[0]
    assert "the samples have collapsed: they vary 2.0%" in lines[1]
    assert not summary.of_game({"critic/critic_accuracy": 0.7}, {"spread": 0.9})


def test_the_summary_holds_what_ails_a_run_and_what_to_try(tmp_path):
    lost = {
        "train": {"critic/critic_accuracy": 0.995, "critic/loss": None},
        "test": {"spread": 0.02},
    }
    hints = summary.ailments(lost)
    assert [hint.split(":")[0] for hint in hints] == [
        "the loss is not finite",
        "the critic has won",
        "the samples have collapsed",
    ]
    found = fit(gan(), workdir=tmp_path).summary
    assert found["hints"] == summary.ailments(found["metrics"])
    assert json.loads((tmp_path / "summary.json").read_text())["hints"] == found["hints"]
    assert summary.text({**found, "hints": hints}, None).count("Try a penalty (r1)") == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gan_with_r1_covers_all_eight_gaussians_of_a_ring(seed):
    """A mode counts from 20 of 1,000 samples within four deviations, 0.2, of its centre on."""
    rng = np.random.default_rng(0)
    x = RING[rng.integers(0, 8, 4_000)] + 0.05 * rng.normal(size=(4_000, 2))
    network = ae.networks.mlp((64, 64), "leaky_relu")
    recipe = ae.recipes.gan(4, r1=1.0, decoder=network, critic=network)
    optimizer = {"learning_rate": 1e-3, "arguments": {"b1": 0.5, "b2": 0.99}}
    size = {"steps": 6_000, "batch_size": 128, "seed": seed, "preprocessing": {"name": "none"}}
    run = fit(recipe, x.astype(np.float32), optimizer=optimizer, eval_every=6_000, **size)
    distance = np.linalg.norm(run.sample(1_000)[:, None] - RING, axis=-1)
    near = np.bincount(distance.argmin(1)[distance.min(1) < 0.2], minlength=8)
    assert (near >= 20).all(), near
