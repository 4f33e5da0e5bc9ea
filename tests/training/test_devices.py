"""The number of devices, and the strategy on them, change nothing but the speed."""

import functools

import pytest

from tests import small

COUNTS = (1, 2, 4, 8)
STRATEGIES = ("pmap", "shard_map", "fsdp")


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with small.small_shards():
        yield


@functools.cache
def trained(devices, strategy="pmap"):
    fields = {"steps": 100, "log_every": 100, "eval_every": 100}
    return small.train(parallel={"devices": devices, "strategy": strategy}, **fields)


QUICK = {("pmap", 8), ("fsdp", 8)}
FEW_AND_MANY = [
    pytest.param(devices, strategy, marks=[] if (strategy, devices) in QUICK else pytest.mark.slow)
    for strategy in STRATEGIES
    for devices in COUNTS
    if (strategy, devices) != ("pmap", 1)
]


@pytest.mark.parametrize(("devices", "strategy"), FEW_AND_MANY)
def test_parameters_after_a_hundred_steps_are_those_of_one_device(devices, strategy):
    one, many = trained(1), trained(devices, strategy)
    assert (many.summary["device_count"], many.summary["strategy"]) == (devices, strategy)
    assert small.distance(many.variables.params, one.variables.params) <= 1e-5
    before = small.train(steps=1, devices=1, eval_every=100, log_every=100)
    assert small.distance(one.variables.params, before.variables.params) > 0.1  # they did move


@pytest.mark.parametrize(("devices", "strategy"), FEW_AND_MANY)
def test_test_loss_is_that_of_one_device(devices, strategy):
    runs = trained(1), trained(devices, strategy)
    one, many = (run.summary["metrics"]["test"] for run in runs)
    assert many.keys() == one.keys()
    for name, value in one.items():
        assert many[name] == pytest.approx(value, rel=1e-4), name


SAME = [(1, "pmap"), (4, "pmap")]
SAME += [pytest.param(4, strategy, marks=pytest.mark.slow) for strategy in STRATEGIES[1:]]


@pytest.mark.parametrize(("devices", "strategy"), SAME)
def test_two_runs_on_the_same_devices_are_identical(devices, strategy):
    again, first = trained.__wrapped__(devices, strategy), trained(devices, strategy)
    small.assert_identical(again.variables, first.variables)
    assert again.summary["metrics"]["test"] == first.summary["metrics"]["test"]


def test_another_seed_is_another_run():
    other = small.train(devices=1, steps=100, log_every=100, eval_every=100, seed=1)
    assert small.distance(other.variables.params, trained(1).variables.params) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "strategy"), [(2, "pmap"), (4, "pmap"), (8, "pmap"), (4, "shard_map"), (4, "fsdp")]
)
def test_a_long_run_ends_at_the_test_loss_of_one_device(devices, strategy):
    one, many = _long(1, "pmap"), _long(devices, strategy)
    assert many["neg_elbo"] == pytest.approx(one["neg_elbo"], rel=2e-3)


@functools.cache
def _long(devices, strategy):
    fields = {"steps": 2_000, "batch_size": 64, "log_every": 1_000, "eval_every": 2_000}
    fields["parallel"] = {"devices": devices, "strategy": strategy}
    run = small.train(data={"source": "digits"}, **fields)
    return run.summary["metrics"]["test"]
