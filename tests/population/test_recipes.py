"""Every recipe: a member of a population is the same model trained alone, games included."""

import jax
import pytest

import ae_jax as ae
from ae_jax import compiler
from ae_jax.training.parallel import strategy
from tests import fast
from tests.population.alone import (
    RATE,
    distance,
    planned,
    recipe_of,
    trained_alone,
    trained_together,
    weight_of,
)
from tests.recipes.test_recipes import NAMES

STEPS, MEMBERS, ONE, NEXT = 20, 6, 3, 2
TIGHT = 1e-5
SGD = {"name": "sgd", "learning_rate": 1e-2}
OPTIMIZERS = {"dcgan": SGD}
"""Of a bias before a batch normalisation the gradient is rounding, of which Adam makes steps."""


@pytest.fixture(autouse=True)
def quickly_compiled(monkeypatch):
    monkeypatch.setitem(strategy.COMPILER_OPTIONS, "cpu", fast.options())
    monkeypatch.setattr(compiler, "jit", fast.jit)


@pytest.mark.slow
@pytest.mark.devices(4)
@pytest.mark.parametrize("name", NAMES)
def test_a_member_is_the_recipe_trained_alone(name):
    """Six members on four devices: two side by side on each, and two copies to fill them up."""
    recipe, data = recipe_of(name)
    path = weight_of(recipe)
    optimizer = OPTIMIZERS.get(name, {"name": "adam", "learning_rate": 1e-3})
    config, dataset = planned(recipe, data, optimizer, steps=STEPS)
    rate = optimizer["learning_rate"]
    members = [
        {"training.seed": seed, RATE: rate * (1 + seed / 4), path: 0.5 + seed / 4}
        for seed in range(MEMBERS)
    ]
    expected = trained_alone(ae.config.replaced(config, members[ONE]), dataset)
    states = trained_together(recipe, config, dataset, members, [4])[4]
    own, other = (jax.tree.map(lambda leaf, i=i: leaf[i], states) for i in (ONE, NEXT))
    assert int(own.step) - int(own.skipped) == STEPS
    assert distance(own.variables, expected.variables) < TIGHT
    vectors = lambda state: [leaf for leaf in jax.tree.leaves(state.optimizer) if leaf.ndim]
    if optimizer["name"] == "adam":  # the other has no moments
        assert distance(vectors(own), vectors(expected)) < TIGHT
    assert distance(other.variables, expected.variables) > 100 * TIGHT  # so that it could fail
