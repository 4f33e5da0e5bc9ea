"""Data that a config declares: plans without them, and what is there held against them."""

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.config.sections import Data
from ae_jax.data.dataset import of_section
from ae_jax.data.declared import Declared, check_declared, declaration
from ae_jax.errors import ConfigError, DataError, UnknownNameError
from ae_jax.runs import planning

SPEC = {"shape": [4, 5, 1], "dtype": "uint8", "num_train": 300}
LABEL = {"label": {"shape": (), "dtype": "int32"}}
SCALE = {"name": "scale", "low": 0.0, "high": 255.0}


def config(**data):
    made = ae.config.for_recipe(ae.recipes.vae(2, encoder=ae.networks.mlp((8,))))
    made["data"] |= {"source": "npy:/nowhere.npy", **data}
    return made


def state_of(plan):
    return jax.eval_shape(plan.init, jax.random.key(0))


def test_a_plan_without_data_is_that_of_the_data():
    source = {"source": "synthetic:4x5x1", "arguments": {"size": 300, "test_size": 7, "classes": 3}}
    there = config(preprocessing=SCALE, **source)
    there["parallel"]["devices"] = 1
    plan = planning.prepare(there)
    declared = config(preprocessing=SCALE, spec={**SPEC, "num_test": 7, "extras": LABEL})
    own = planning.plan_without_data(declared)
    assert own.spec == plan.spec
    for section in ("model", "objective", "optimizer", "training"):
        assert getattr(own.config, section) == getattr(plan.config, section)
    assert state_of(own) == state_of(plan)
    for split in ("train", "test"):
        one, other = getattr(own.dataset, split), getattr(plan.dataset, split)
        assert (one.spec, len(one)) == (other.spec, len(other))


def test_without_a_spec_the_stand_in_comes_first_and_then_the_source():
    stand_in = {"source": "synthetic:3x2", "arguments": {"size": 200, "dtype": "float32"}}
    plan = planning.plan_without_data(config(stand_in=stand_in))
    assert plan.spec.event_shape == (3, 2)
    assert len(plan.dataset.train) == 200
    assert planning.plan_without_data(config(source="digits")).spec.event_shape == (8, 8, 1)


def test_the_batch_is_split_over_devices_that_are_not_here():
    made = config(preprocessing=SCALE, spec=SPEC)
    made["training"]["batch_size"] = 256
    assert planning.plan_without_data(made, devices=64).config.training.batch_size == 256
    with pytest.raises(ConfigError, match="256, which 48 devices do not divide; nearest: 240 or"):
        planning.plan_without_data(made, devices=48)
    made["training"]["batch_size"] = 512
    with pytest.raises(ConfigError, match="is 512, but the training split has only 300 examples"):
        planning.plan_without_data(made, devices=64)


def test_what_hangs_on_values_must_be_set():
    with pytest.raises(DataError, match=r"only declares.* data\.preprocessing, must be set"):
        planning.plan_without_data(config(spec=SPEC))


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"shpe": [1]}, UnknownNameError, r"data\.spec has no field 'shpe'; did you mean 'shape'"),
        ({"num_train": 0}, ConfigError, r"num_train must be a positive whole number, got 0"),
        ({"num_test": -1}, ConfigError, r"num_test must be a positive whole number, got -1"),
        ({"shape": [4, 0]}, ConfigError, r"spec\.shape must be a positive whole number, got 0"),
        ({"shape": 4}, ConfigError, r"spec\.shape must be a row of whole numbers, got 4"),
        ({"dtype": "unit8"}, ConfigError, r"dtype must be that of a number.*got 'unit8'"),
        ({"dtype": "complex64"}, ConfigError, r"dtype must be that of a number"),
        ({"extras": {"label": "int32"}}, ConfigError, r"extras\.label must have a shape and a dty"),
        ({"extras": 3}, ConfigError, r"extras is a section, got 3"),
        ({"kind": "reel"}, ConfigError, r"kind cannot be 'reel'; did you mean 'real'"),
    ],
)
def test_specs_that_are_none(changes, error, match):
    made = config(preprocessing=SCALE, spec={**SPEC, **changes})
    with pytest.raises(error, match=match):
        planning.plan_without_data(made)


def test_a_spec_must_say_what_cannot_be_guessed():
    with pytest.raises(ConfigError, match="must say dtype, num_train, got"):
        declaration({"shape": (3,)})


def test_nothing_is_read_of_what_is_declared():
    train, test = declaration(SPEC).splits
    assert isinstance(train, Declared)
    assert (len(train), len(test)) == (300, 0)
    assert isinstance(train, ae.data.Source)
    with pytest.raises(DataError, match="2 examples are wanted of data that data.spec only"):
        train.read(np.arange(2))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"shape": (4, 4, 1)}, r"examples of uint8 \(4, 4, 1\), but the data have uint8 \(4, 5, 1"),
        ({"dtype": "float32"}, r"examples of float32 .* but the data have uint8 \(4, 5, 1\)"),
        ({"extras": {"width": LABEL["label"]}}, r"'width' of int32 \(\), but the data have none"),
    ],
)
def test_data_unlike_their_spec_are_refused(changes, match):
    source = ae.data.load("synthetic:4x5x1", size=10, classes=3).train
    check_declared(source, SPEC | {"extras": LABEL})
    with pytest.raises(DataError, match=match):
        check_declared(source, SPEC | changes)
    section = Data(source="synthetic:4x5x1", spec=SPEC | {"extras": LABEL})
    with pytest.raises(DataError, match="but the data have none"):
        of_section(section)
