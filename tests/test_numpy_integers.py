"""NumPy's integers stand wherever Python's do, and leave plain ones in what is stored."""

import inspect
import json

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import _registry as registry
from ae_jax import keys
from ae_jax.checks import require_positive, require_positive_ints
from ae_jax.errors import ConfigError
from ae_jax.types import Node

WANTED = {
    "num_classes": 4,
    "latent_dim": 4,
    "columns": (0, 3),
    "target": 2.0,
    "init_value": 1.0,
    "end_value": 0.1,
    "transition_steps": 5,
    "decay_rate": 0.5,
    "vocabulary": 5,
    "mask_token": 1,
}
KINDS = {
    "network": registry.NETWORKS,
    "bottleneck": registry.BOTTLENECKS,
    "prior": registry.PRIORS,
    "likelihood": registry.LIKELIHOODS,
    "corruption": registry.CORRUPTIONS,
    "term": registry.TERMS,
    "schedule": registry.SCHEDULES,
}
RECIPES = {name: getattr(ae.recipes, name) for name in ae.recipes.__all__}


def numpys(value):
    """A value with NumPy's numbers in place of Python's."""
    if isinstance(value, tuple):
        return tuple(map(numpys, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return np.int32(value) if isinstance(value, int) else np.float64(value)


def arguments_of(factory):
    """Its defaults that are numbers, and what it cannot do without."""
    found = {}
    for name, one in inspect.signature(factory).parameters.items():
        value = WANTED.get(name) if one.default is one.empty else one.default
        if isinstance(value, int | float | tuple):
            found[name] = value
    return found


def types_in(value):
    if isinstance(value, Node):
        return types_in(value.kwargs)
    if isinstance(value, dict):
        value = tuple(value.values())
    return set().union(*map(types_in, value)) if isinstance(value, tuple | list) else {type(value)}


PLAIN = {int, float, bool, str, type(None)}


def is_whole(factory):
    """Whether the arguments known here make a part."""
    try:
        factory(**arguments_of(factory))
    except ConfigError:
        return False
    return True


FACTORIES = {
    f"{kind} {name}": factory
    for kind, parts in KINDS.items()
    for name, factory in parts.factories.items()
    if is_whole(factory)
}


def test_enough_is_looked_at():
    assert len(FACTORIES) > 50


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
def test_parts_take_them_and_remember_plain_ones(factory):
    wanted = arguments_of(factory)
    part = factory(**numpys_of(wanted))
    assert getattr(part, "node", None) == getattr(factory(**wanted), "node", None)
    assert types_in(getattr(part, "node", None)) <= PLAIN


def numpys_of(arguments):
    return {name: numpys(value) for name, value in arguments.items()}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_take_them_and_configs_hold_plain_ones(recipe):
    if not callable(recipe) or isinstance(recipe, type):
        return
    wanted = arguments_of(recipe)
    config = ae.config.for_recipe(recipe(**numpys_of(wanted)))
    assert config == ae.config.for_recipe(recipe(**wanted))
    assert types_in(config) <= PLAIN
    json.dumps(config)


def test_config_sections_hold_plain_ones():
    config = ae.config.for_recipe(ae.recipes.vae(2))
    config["training"] |= {"steps": np.int64(5), "seed": np.uint8(3), "batch_size": np.int16(7)}
    config["optimizer"] |= {"learning_rate": np.float32(0.5), "arguments": {"b1": np.float32(0.5)}}
    config["data"] |= {"resident_mib": np.int64(9), "arguments": {"size": (np.int64(3),)}}
    complete = ae.config.to_plain(ae.config.complete(config))
    assert types_in(complete) <= PLAIN
    assert complete["training"]["steps"] == 5


@pytest.mark.parametrize("value", [np.int64(2), np.uint8(2), np.int32(2), 2])
def test_checks_take_them(value):
    require_positive_ints(n=value)
    require_positive(n=value)
    for bad in (-np.abs(np.int64(value)), np.int64(0), np.float32(1.5), np.bool_(True), True, "2"):
        with pytest.raises(ConfigError, match="n must be a positive whole number"):
            require_positive_ints(n=bad)


def test_sources_and_splits_take_them():
    one = ae.data.synthetic(shape=(np.int64(4), np.int64(3)), size=np.int64(9), test_size=2)
    assert one.train.spec.x.shape == (4, 3)
    x = np.zeros((30, 2))
    assert len(ae.data.series(x, window=np.int64(4), stride=np.int64(2)).train) > 0
    assert ae.data.split_mask(np.int64(9), np.float32(0.5)).shape == (9,)
    assert ae.data.preprocessing.pad([np.int64(1)]).node == Node("pad", (("by", (1,)),))


def test_statistics_of_arrays_are_preprocessing_with_a_config_form():
    mean, std = np.array([1.0, 2.0]), np.array([1, 3])
    node = ae.data.preprocessing.standardise(mean, std).node
    assert node == ae.data.preprocessing.standardise((1.0, 2.0), (1, 3)).node
    assert types_in(node) <= PLAIN


def test_seeds_take_them():
    root = jax.random.key(0)
    a, b = (keys.stream(jax.random.key(seed), "sample") for seed in (np.int64(0), 0))
    assert (jax.random.key_data(a) == jax.random.key_data(b)).all()
    a, b = (jax.random.fold_in(root, step) for step in (np.int64(3), 3))
    assert (jax.random.key_data(a) == jax.random.key_data(b)).all()
