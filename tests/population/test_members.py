"""Which members a sweep has, and what it refuses in one line."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, UnknownNameError
from ae_jax.population.members import configs_of, members_of, value_at
from tests import small

BASE = ae.config.complete(small.config())


def refused(match, vary, how="grid", kind=ConfigError):
    with pytest.raises(kind, match=match):
        configs_of(BASE, members_of(vary, how))


def test_a_grid_takes_every_combination_and_the_last_field_moves_fastest():
    members = members_of({"training.seed": range(2), "optimizer.learning_rate": [0.1, 0.2]})
    pairs = [(m["training.seed"], m["optimizer.learning_rate"]) for m in members]
    assert pairs == [(0, 0.1), (0, 0.2), (1, 0.1), (1, 0.2)]


def test_lists_go_side_by_side_and_members_may_be_given():
    vary = {"training.seed": np.arange(2), "objective.kl.weight": np.float32([0.5, 2])}
    members = members_of(vary, how="list")
    assert members == [
        {"training.seed": 0, "objective.kl.weight": 0.5},
        {"training.seed": 1, "objective.kl.weight": 2.0},
    ]
    assert type(members[0]["training.seed"]) is int
    assert members_of(members) == members
    configs = configs_of(BASE, members)
    assert [value_at(config, "objective.kl.weight") for config in configs] == [0.5, 2.0]
    assert [config.training.seed for config in configs] == [0, 1]


def test_bad_sweeps_are_refused_in_one_line():
    refused("needs members", {})
    refused("needs members", [])
    refused("'objective.kl.weight'. has no values", {"objective.kl.weight": []})
    refused("members 0 and 2 are the same", {"training.seed": [3, 4, 3]})
    refused("training.seed 2, objective.kl.weight 1", _uneven(), how="list")
    refused("how cannot be 'gird'; did you mean 'grid'", {"training.seed": [1]}, how="gird")
    refused("must be a list of values, got 3", {"training.seed": 3})
    refused("member 1 and member 0 do not share", [{"training.seed": 1}, {"training.steps": 1}])


def _uneven():
    return {"training.seed": [0, 1], "objective.kl.weight": [1.0]}


def test_fields_that_cannot_vary_are_refused_in_one_line():
    unknown = UnknownNameError
    refused("did you mean 'kl'", {"objective.lk.weight": [1.0]}, kind=unknown)
    refused("did you mean 'weight'", {"objective.kl.wieght": [1.0]}, kind=unknown)
    refused("did you mean 'learning_rate'", {"optimizer.learning_rat": [1.0]}, kind=unknown)
    refused("has no field 'optimiser.*did you mean 'optimizer", {"optimiser.clip_norm": [1.0]})
    refused("'objective.kl' is a section.*'objective.kl.weight'", {"objective.kl": [1.0]})
    refused("'training.steps' cannot vary: the members.*share it", {"training.steps": [1, 2]})
    refused("'data.test_fraction' cannot vary", {"data.test_fraction": [0.1, 0.2]})
    refused("learning_rate must be of type float", {"optimizer.learning_rate": ["fast"]})
    refused("training.seed must not be negative", {"training.seed": [-1]})


def test_parts_that_came_as_objects_cannot_vary():
    @ae.term
    def own(outputs, context):
        return 0.0 * outputs.log_px[:, 0]

    recipe = small.vae()
    recipe = recipe._replace(objective=recipe.objective + own())
    base = ae.config.complete(small.config(recipe))
    with pytest.raises(ConfigError, match="'objective.kl.weight'.*came as a Python object"):
        configs_of(base, members_of({"objective.kl.weight": [1.0, 2.0]}))


def test_random_members_lie_in_their_ranges_and_grow_from_the_front():
    laws = {
        "optimizer.learning_rate": ae.population.log_uniform(1e-4, 1e-1),
        "objective.kl.weight": ae.population.uniform(0.5, 2.0),
    }
    few, many = (ae.population.random(n, 3, laws) for n in (5, 2_000))
    assert many[:5] == few
    rates = np.log10([member["optimizer.learning_rate"] for member in many])
    weights = np.array([member["objective.kl.weight"] for member in many])
    assert rates.min() >= -4
    assert rates.max() < -1
    assert weights.min() >= 0.5
    assert weights.max() < 2
    # Means of uniform numbers, within four of their standard errors.
    assert abs(rates.mean() + 2.5) < 4 * 3 / np.sqrt(12 * 2_000)
    assert abs(weights.mean() - 1.25) < 4 * 1.5 / np.sqrt(12 * 2_000)
