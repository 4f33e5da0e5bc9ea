"""Schedules with a config form, against their formulas."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax import _registry as registry

STEPS = (0, 1, 7, 20, 50, 99, 100, 1000)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (
            {"name": "linear", "init_value": 0.5, "end_value": 2.0, "transition_steps": 50},
            lambda t: 0.5 + 1.5 * min(t / 50, 1),
        ),
        (
            {
                "name": "linear",
                "init_value": 0.0,
                "end_value": 1.0,
                "transition_steps": 40,
                "transition_begin": 10,
            },
            lambda t: np.clip((t - 10) / 40, 0, 1),
        ),
        (
            {"name": "cosine", "init_value": 2.0, "decay_steps": 100, "alpha": 0.1},
            lambda t: 2 * (0.9 * 0.5 * (1 + np.cos(np.pi * min(t / 100, 1))) + 0.1),
        ),
        (
            {"name": "exponential", "init_value": 3.0, "transition_steps": 10, "decay_rate": 0.5},
            lambda t: 3 * 0.5 ** (t / 10),
        ),
        (
            {
                "name": "piecewise_constant",
                "init_value": 4.0,
                "boundaries": [20, 100],
                "scales": [0.5, 0.1],
            },
            lambda t: 4.0 if t < 20 else 2.0 if t < 100 else 0.2,
        ),
        (
            {"name": "cyclical", "period": 40, "cycles": 2, "rising": 0.25},
            lambda t: min(t % 40 / 10, 1) if t < 80 else 1.0,
        ),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_the_multiplier_over_steps(node, expected):
    schedule = registry.SCHEDULES.build(node)
    for step in STEPS:
        np.testing.assert_allclose(schedule(step), expected(step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scales", [(0.5,), (0.5, 0.1, 0.2)])
def test_boundaries_and_scales_must_be_equally_many(scales):
    with pytest.raises(ae.errors.ConfigError, match=r"equally many, got \(20, 100\) and \(0\.5,"):
        ae.schedules.piecewise_constant(1.0, (20, 100), scales)


def test_an_unknown_argument_gets_the_nearest():
    with pytest.raises(ae.errors.ConfigError, match="did you mean 'transition_steps'"):
        ae.schedules.linear(0.0, 1.0, transition_step=10)


@pytest.mark.parametrize("options", [{"period": 0}, {"cycles": 0}, {"rising": 0.0}, {"rising": 2}])
def test_cycles_that_are_none_are_refused(options):
    with pytest.raises(ae.errors.ConfigError, match=next(iter(options))):
        ae.schedules.cyclical(**{"period": 10} | options)
