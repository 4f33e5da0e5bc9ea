"""Sweeps: how they are read, multiplied, checked."""

import jax
import pytest

from ae_jax.benchmarking.step import sweeps
from ae_jax.errors import ConfigError, UnknownNameError
from tests import small


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("training.batch_size=64,128", [64, 128]),
        ("optimizer.learning_rate=1e-3", [1e-3]),
        ("training.compute_dtype=float32,bfloat16", ["float32", "bfloat16"]),
        ("training.steps_per_dispatch=None,10", [None, 10]),
        ("training.deterministic=True,False", [True, False]),
        ("model.encoder.hidden=(16,),(16, 32)", [[16], [16, 32]]),
        ("data.source='npy:a,b', digits", ["npy:a,b", "digits"]),
    ],
)
def test_values_are_read_as_python_where_they_can_be(text, values):
    path, found = sweeps.parse_sweep(text)
    assert path == text.split("=")[0]
    assert found == values


@pytest.mark.parametrize(
    "text", ["training.batch_size", "=1", "training.batch_size=", "training.batch_size=1,,2"]
)
def test_what_is_no_sweep_is_named_with_an_example(text):
    with pytest.raises(ConfigError, match=r"FIELD=VALUE,VALUE, e\.g\. training\.batch_size=64,128"):
        sweeps.parse_sweep(text)


def test_a_value_twice_is_refused():
    with pytest.raises(ConfigError, match="64 twice"):
        sweeps.parse_sweep("training.batch_size=64,64")


def test_variants_are_the_product_and_the_last_sweep_turns_fastest():
    chosen = [("training.batch_size", [8, 16]), ("data.engine", ["resident", "streaming"])]
    assert sweeps.variants(small.config(), chosen) == [
        {"training.batch_size": size, "data.engine": engine}
        for size in (8, 16)
        for engine in ("resident", "streaming")
    ]
    assert sweeps.variants(small.config(), []) == [{}]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("training.batchsize", r"training has no field 'batchsize'; did you mean 'batch_size'\?"),
        ("trainin.batch_size", r"the config has no field 'trainin'; did you mean 'training'\?"),
        ("model.encodr.hidden", r"model has no field 'encodr'; did you mean 'encoder'\?"),
    ],
)
def test_an_unknown_field_names_the_nearest(path, message):
    with pytest.raises(UnknownNameError, match=message):
        sweeps.variants(small.config(), [(path, [1])])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("training.batch_size", "many", "training.batch_size must be of type int"),
        ("training.steps.every", 1, "training.steps is 30, which has no fields"),
        (
            "parallel.devices",
            1_000,
            f"parallel.devices is 1000, but there are {jax.device_count()}",
        ),
        ("parallel.strategy", "pmapp", "did you mean 'pmap'"),
    ],
)
def test_a_wrong_value_is_an_error_before_anything_is_measured(path, value, message):
    with pytest.raises(ConfigError, match=message):
        sweeps.variants(small.config(), [(path, [value])])


def test_more_devices_than_there_are_say_how_to_have_them():
    with pytest.raises(ConfigError, match="--xla_force_host_platform_device_count=64"):
        sweeps.variants(small.config(), [("parallel.devices", [64])])


def test_a_batch_that_the_devices_do_not_divide_names_the_nearest():
    chosen = [("parallel.devices", [1, 4]), ("training.batch_size", [6])]
    with pytest.raises(ConfigError, match="nearest: 4 or 8"):
        sweeps.variants(small.config(), chosen)


def test_a_field_swept_twice_is_refused():
    with pytest.raises(ConfigError, match="training.batch_size is swept twice"):
        sweeps.variants(small.config(), [("training.batch_size", [8])] * 2)


def test_a_label_is_short():
    assert sweeps.label({"training.batch_size": 8, "data.engine": "auto"}) == (
        "batch_size=8, engine=auto"
    )
