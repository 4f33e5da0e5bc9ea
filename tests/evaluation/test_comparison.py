"""Runs side by side: every row is what its run scores alone; seeds of one config are one row."""

import dataclasses

import numpy as np
import pytest

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.cli import compare
from ae_jax.errors import ConfigError
from ae_jax.evaluation.comparison import PERFECT
from tests import small, untrained

FLAT = lambda x: np.asarray(x).reshape(len(x), -1)
HOW = {"features": FLAT, "num": 37}


@pytest.fixture(scope="module")
def runs():
    """Two runs that differ in their seed, and one without a prior."""
    data = small.small_test_data()
    network = ae.networks.mlp((4,))
    parts = {"encoder": network, "decoder": network}
    vae = untrained.run_of(ae.recipes.vae(2, **parts), data)
    config = ae.config.replaced(vae.config, {"training.seed": 1})
    shifted = ae.Variables({**vae.variables.params}, vae.variables.state)
    other = dataclasses.replace(vae, config=config, variables=shifted, summary={"wall_seconds": 3})
    plain = untrained.run_of(ae.recipes.autoencoder(2, **parts), data)
    return {"a/vae": vae, "b/vae": other, "c/plain": plain}


@pytest.fixture(scope="module")
def table(runs):
    return evaluation.comparison(runs, small.small_test_data(), **HOW)


def test_rows_are_what_each_run_scores_alone(runs, table):
    alone = evaluation.generation(runs["a/vae"], small.small_test_data(), **HOW)
    assert alone["samples"].items() <= table["a/vae"].items()
    assert table[PERFECT] == alone["training"]
    for name, run in runs.items():
        x = small.small_test_data().test.x
        error = np.mean((x - run.reconstruct(x)) ** 2, axis=1)
        expected = np.mean(10 * np.log10(1 / error))
        assert table[name]["psnr"] == pytest.approx(expected, rel=1e-5)


def test_cost_is_counted(table):
    mlp = lambda a, b: 4 * a + 4 + 4 * b + b
    assert table["c/plain"]["parameters"] == mlp(6, 2) + mlp(2, 6)
    assert table["b/vae"]["wall_seconds"] == 3
    assert "wall_seconds" not in table["a/vae"]


def test_a_run_without_a_prior_has_no_samples(table):
    assert "frechet_distance" not in table["c/plain"]
    assert np.isfinite(table["c/plain"]["psnr"])


def test_seeds_of_one_config_are_one_row(runs):
    table = {"a/vae": {"psnr": 1.0}, "b/vae": {"psnr": 4.0, "wall_seconds": 3}, "c/plain": {}}
    spread = evaluation.over_seeds(table, runs)
    assert list(spread) == ["a/vae", "c/plain"]
    assert spread["a/vae"]["psnr"] == pytest.approx((2.5, np.std([1, 4], ddof=1)))
    assert spread["a/vae"]["wall_seconds"] == pytest.approx((3, np.nan), nan_ok=True)
    printed = compare.text({**table, PERFECT: {"psnr": 9.0}}, spread)
    assert [line.split() for line in printed.splitlines()] == [
        ["vae", "plain", "training", "data"],
        ["psnr", "2.5", "±", "2.1", "-", "9"],
        ["wall_seconds", "3", "-", "-"],
    ]


def test_only_runs_of_the_same_data_are_compared(runs):
    with pytest.raises(ConfigError, match="there are no runs"):
        evaluation.comparison({}, small.small_test_data())
    config = ae.config.replaced(runs["a/vae"].config, {"data.source": "digits"})
    other = dataclasses.replace(runs["a/vae"], config=config)
    with pytest.raises(ConfigError, match="'other' was trained on 'digits'.*same data"):
        evaluation.comparison({**runs, "other": other}, small.small_test_data(), **HOW)
