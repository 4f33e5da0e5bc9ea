"""Registries: parts from config nodes, nodes from parts, and what a wrong node is told."""

import functools
import inspect
import json

import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import _registry as registry
from ae_jax import config
from ae_jax.bottlenecks.identity import identity
from ae_jax.population.selection import SELECTIONS
from ae_jax.types import Bottleneck, Node

REGISTRIES = {
    "network": registry.NETWORKS,
    "bottleneck": registry.BOTTLENECKS,
    "prior": registry.PRIORS,
    "likelihood": registry.LIKELIHOODS,
    "corruption": registry.CORRUPTIONS,
    "schedule": registry.SCHEDULES,
    "preprocessing": registry.PREPROCESSING,
    "selection": SELECTIONS,
}
FACTORIES = [(kind, name) for kind, known in REGISTRIES.items() for name in known.factories]

# Values for the arguments without a default, by name; and one of the two that one factory wants.
ARGUMENTS = {
    "latent_dim": 4,
    "period": 100,
    "network": {"name": "mlp", "hidden": (8,)},
    "std": 0.5,
    "mean": (0.25, 1.0),
    "low": 0.0,
    "high": 16.0,
    "rate": 0.25,
    "mask_token": 3,
    "num_classes": 5,
    "columns": (("gaussian", 3), ("bernoulli", 2)),
    "patch": 2,
    "init_value": 1.0,
    "end_value": 0.0,
    "transition_steps": 10,
    "decay_steps": 10,
    "decay_rate": 0.5,
    "boundaries": (10, 20),
    "scales": (0.5, 0.1),
    "levels": (4, 2),
    "taps": (4, 2),
}
ALSO = {
    "block_masking": {"size": (2, 3)},
    "tabular": {"columns": (0, 3)},
    "tapped_conv": {"taps": ((4, 4, 2), (2, 2, 2))},
    "topk": {"latent_dim": 4, "k": 2},
    "pad": {"by": (1, 2)},
    "crop": {"by": (1, 2)},
    "chain": {"parts": ({"name": "none"},)},
}

not_a_factory = 3


def small_identity(size: int = 2):
    """A user's own factory."""
    return identity(size)._replace(node=None)


def no_part():
    return {"anything": 1}


def arguments_of(factory, name):
    parameters = inspect.signature(factory).parameters.values()
    missing = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    given = ALSO.get(name, {})
    return {key: ARGUMENTS[key] for key in missing if key not in given} | given


@pytest.mark.parametrize(("kind", "name"), FACTORIES)
def test_a_built_in_part_survives_the_round_trip_through_json(kind, name):
    known = REGISTRIES[kind]
    arguments = arguments_of(known.factories[name], name)
    part = known.factories[name](**arguments)
    assert part.node.name == name
    stored = config.to_plain(part.node)
    assert {key: stored[key] for key in arguments} == config.to_plain(arguments)
    hash(part.node)
    again = known.build(json.loads(json.dumps(config.to_plain(part.node))))
    assert again.node == part.node


def test_every_registry_of_parts_is_filled():
    assert {kind for kind, _ in FACTORIES} == set(REGISTRIES)
    assert ("corruption", "masking") in FACTORIES


def test_nodes_nest():
    part = ae.bottlenecks.gaussian(3, prior=ae.priors.standard_normal())
    assert part.node.to_dict() == {
        "name": "gaussian",
        "latent_dim": 3,
        "prior": {"name": "standard_normal"},
    }
    assert registry.BOTTLENECKS.build(part.node.to_dict()).node == part.node


def test_nodes_nest_in_sequences_too():
    part = ae.likelihoods.mixed([("gaussian", 3), (ae.likelihoods.categorical(5), 2)])
    pairs = part.node.to_dict()["columns"]
    assert pairs == (("gaussian", 3), ({"name": "categorical", "num_classes": 5}, 2))
    assert registry.LIKELIHOODS.build(part.node.to_dict()).node == part.node


def test_a_bare_name_means_all_defaults_and_a_part_passes_through():
    assert registry.LIKELIHOODS.build("bernoulli").node == Node("bernoulli")
    part = ae.likelihoods.gaussian(scale=2.0)
    assert registry.LIKELIHOODS.build(part) is part


def test_the_nearest_name_is_named_with_all_the_others():
    with pytest.raises(ae.errors.UnknownNameError) as error:
        registry.LIKELIHOODS.build({"name": "bernouli"})
    known = ", ".join(sorted(registry.LIKELIHOODS.factories))
    assert str(error.value) == (
        f"no likelihood is called 'bernouli'; did you mean 'bernoulli'? Known: {known}."
    )


def test_a_far_off_name_gets_the_list_alone():
    with pytest.raises(ValueError, match=r"called 'xyzzy'\. Known: bernoulli, .*gaussian") as error:
        registry.LIKELIHOODS.build("xyzzy")
    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize(
    "call",
    [
        ae.likelihoods.gaussian,
        lambda **arguments: registry.LIKELIHOODS.build({"name": "gaussian", **arguments}),
    ],
)
def test_an_unknown_argument_gets_the_nearest(call):
    match = r"likelihood 'gaussian' has no argument 'varience'; did you mean 'variance'\?"
    with pytest.raises(ae.errors.ConfigError, match=match):
        call(varience="fixed")


def test_a_missing_argument_is_named():
    with pytest.raises(ae.errors.ConfigError, match=r"bottleneck 'gaussian'.*'latent_dim'"):
        registry.BOTTLENECKS.build("gaussian")


def test_a_node_needs_a_name():
    with pytest.raises(ae.errors.ConfigError, match=r"bottleneck needs a 'name', got \{'latent"):
        registry.BOTTLENECKS.build({"latent_dim": 2})
    with pytest.raises(ae.errors.ConfigError, match=r"needs a 'name', got \{'name': 3\}"):
        registry.BOTTLENECKS.build({"name": 3})


@pytest.mark.parametrize("size", [2, 5])
def test_a_factory_of_the_users_own(size):
    name = f"{__name__}:small_identity"
    part = registry.BOTTLENECKS.build({"name": name, "size": size})
    assert isinstance(part, Bottleneck)
    assert part.latent_shape == (size,)
    assert part.node == Node(name, (("size", size),))
    assert registry.BOTTLENECKS.build(part.node.to_dict()).node == part.node
    assert registry.BOTTLENECKS.build(name).node == Node(name, (("size", 2),))


def test_a_factory_of_the_users_own_has_its_arguments_checked():
    match = r"small_identity' has no argument 'sise'; did you mean 'size'"
    with pytest.raises(ae.errors.ConfigError, match=match):
        registry.BOTTLENECKS.build({"name": f"{__name__}:small_identity", "sise": 3})


@pytest.mark.parametrize(
    "path", ["no_such_package.x:f", f"{__name__}:no_such_name", ":f", "numpy:", ".relative:f"]
)
def test_an_object_that_cannot_be_imported(path):
    with pytest.raises(ae.errors.UnknownNameError, match=f"cannot import '{path}': "):
        registry.BOTTLENECKS.build(path)


def test_a_part_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="expected a likelihood, got Bottleneck: "):
        registry.LIKELIHOODS.build(ae.bottlenecks.identity(2))
    with pytest.raises(ae.errors.PartError, match="expected a bottleneck, got dict: "):
        registry.BOTTLENECKS.build(f"{__name__}:no_part")
    with pytest.raises(ae.errors.PartError, match="expected a corruption, got int: 3"):
        registry.CORRUPTIONS.build(3)


def test_importing_something_that_is_no_factory_is_told_as_such():
    match = "test_registry:not_a_factory' must be a function that returns a bottleneck, got 3"
    with pytest.raises(ae.errors.PartError, match=match):
        registry.BOTTLENECKS.build(f"{__name__}:not_a_factory")


@pytest.mark.parametrize(
    "activation",
    [lambda x: x, functools.partial(jnp.clip, min=0.0), np.vectorize(abs)],
    ids=["lambda", "partial", "object"],
)
def test_an_argument_without_a_config_form_leaves_no_node(activation):
    assert ae.networks.mlp((4,), activation).node is None


def test_an_importable_function_is_an_argument_with_a_config_form():
    part = ae.networks.mlp((4,), arguments_of)
    assert dict(part.node.kwargs)["activation"] == f"{__name__}:arguments_of"


def test_arrays_are_written_as_numbers():
    node = ae.likelihoods.gaussian(scale=2.0).node
    assert registry.to_node("gaussian", {**dict(node.kwargs), "scale": np.float32(2)}) == node
    assert registry.to_node("n", {"x": jnp.float32(0.5)}) == Node("n", (("x", 0.5),))
    assert registry.to_node("n", {"x": np.ones((1, 2))}) == Node("n", (("x", ((1.0, 1.0),)),))
    assert registry.to_node("n", {"x": np.array([None])}) is None


def test_registering_under_another_name():
    known = registry.Registry("thing", Bottleneck)
    known.register(small_identity, "tiny")
    assert known.build({"name": "tiny", "size": 3}).node == Node("tiny", (("size", 3),))
    with pytest.raises(ae.errors.UnknownNameError, match="Known: tiny"):
        known.build("small_identity")
