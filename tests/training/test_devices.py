"""The number of devices changes nothing but the speed."""

import functools

import pytest

from tests import small

COUNTS = (1, 2, 4, 8)


@functools.cache
def trained(devices):
    return small.train(devices=devices, steps=100, log_every=100, eval_every=100)


FEW_AND_MANY = [*(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)), 8]


@pytest.mark.parametrize("devices", FEW_AND_MANY)
def test_parameters_after_a_hundred_steps_are_those_of_one_device(devices):
    one, many = trained(1), trained(devices)
    assert many.summary["device_count"] == devices
    assert small.distance(many.variables.params, one.variables.params) <= 1e-5
    before = small.train(steps=1, devices=1, eval_every=100, log_every=100)
    assert small.distance(one.variables.params, before.variables.params) > 0.1  # they did move


@pytest.mark.parametrize("devices", FEW_AND_MANY)
def test_test_loss_is_that_of_one_device(devices):
    one, many = (trained(n).summary["metrics"]["test"] for n in (1, devices))
    assert many.keys() == one.keys()
    for name, value in one.items():
        assert many[name] == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize("devices", [1, 4])
def test_two_runs_on_the_same_devices_are_identical(devices):
    again = small.train(devices=devices, steps=100, log_every=100, eval_every=100)
    small.assert_identical(again.variables, trained(devices).variables)
    assert again.summary["metrics"]["test"] == trained(devices).summary["metrics"]["test"]


def test_another_seed_is_another_run():
    other = small.train(devices=1, steps=100, log_every=100, eval_every=100, seed=1)
    assert small.distance(other.variables.params, trained(1).variables.params) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("devices", COUNTS[1:])
def test_a_long_run_ends_at_the_test_loss_of_one_device(devices):
    one, many = (_long(n) for n in (1, devices))
    assert many["neg_elbo"] == pytest.approx(one["neg_elbo"], rel=2e-3)


@functools.cache
def _long(devices):
    fields = {"steps": 2_000, "batch_size": 64, "log_every": 1_000, "eval_every": 2_000}
    run = small.train(devices=devices, data={"source": "digits"}, **fields)
    return run.summary["metrics"]["test"]
