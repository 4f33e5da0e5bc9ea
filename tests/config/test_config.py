"""Configs: defaults, the check of every field, and the round trip of recipes."""

import copy
import json

import ml_collections
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import config
from ae_jax.recipes.recipe import Recipe
from tests import small

VAE = ae.recipes.vae(
    latent_dim=4,
    encoder=ae.networks.mlp((16,), "tanh"),
    likelihood=ae.likelihoods.gaussian(variance="predicted"),
    corruption=ae.corruptions.masking(0.25),
)


def complete(given):
    """The complete config as nested mappings."""
    return config.to_plain(config.complete(given))


RECIPES = [name for name in ae.recipes.__all__ if name.islower()]


def test_an_empty_config_completes_to_the_defaults():
    done = complete({})
    assert done == config.DEFAULTS
    done["training"]["steps"] = 1
    assert config.DEFAULTS["training"]["steps"] != 1


def test_given_fields_stay_and_the_rest_is_filled_in():
    given = {"training": {"steps": 7}, "optimizer": {"learning_rate": 1}, "data": {"source": None}}
    before = copy.deepcopy(given)
    done = complete(given)
    assert given == before
    assert done["training"] == config.DEFAULTS["training"] | {"steps": 7}
    assert repr(done["optimizer"]["learning_rate"]) == "1.0"
    assert done["data"]["source"] is None


def test_a_config_dict_and_numpy_scalars_become_plain():
    nested = ml_collections.ConfigDict({"training": {"steps": np.int64(5)}})
    nested.optimizer = {"arguments": {"b1": np.float32(0.5), "list": (1, np.int8(2))}}
    done = complete(nested)
    assert type(done["training"]["steps"]) is int
    assert json.loads(json.dumps(done["optimizer"]["arguments"])) == {"b1": 0.5, "list": [1, 2]}


def test_a_completed_config_is_complete():
    done = complete(config.for_recipe(VAE))
    assert complete(done) == done
    assert json.loads(json.dumps(done)) == done


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"trainin": {}}, r"config has no field 'trainin'; did you mean 'training'\?"),
        ({"training": {"step": 3}}, r"training has no field 'step'; did you mean 'steps'\?"),
        ({"model": {"encodr": None}}, r"model has no field 'encodr'; did you mean 'encoder'\?"),
        (
            {"optimizer": {"lr": 1.0}},
            r"no field 'lr'. Known: arguments, base_batch_size",
        ),
    ],
)
def test_an_unknown_field_gets_the_nearest(given, match):
    with pytest.raises(ae.errors.UnknownNameError, match=match):
        complete(given)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("training.steps", True, "of type int, got True"),
        ("training.steps", 1.5, r"of type int, got 1\.5"),
        ("training.steps", "10", "of type int, got '10'"),
        ("training.steps", None, "of type int, got None"),
        ("training.steps", 0, "a positive whole number, got 0"),
        ("training.steps", -3, "a positive whole number, got -3"),
        ("training.batch_size", 0, "a positive whole number, got 0"),
        ("training.log_every", 0, "a positive whole number, got 0"),
        ("training.eval_every", -1, "a positive whole number, got -1"),
        ("training.checkpoint_every", 0, "a positive whole number, got 0"),
        ("training.keep_checkpoints", 0, "a positive whole number, got 0"),
        ("training.max_skipped_in_a_row", 0, "a positive whole number, got 0"),
        ("training.steps_per_dispatch", 0, "a positive whole number, got 0"),
        ("training.steps_per_dispatch", 2.0, r"of type int, got 2\.0"),
        ("training.seed", -1, "not be negative, got -1"),
        ("training.seed", False, "of type int, got False"),
        ("training.deterministic", 1, "of type bool, got 1"),
        ("parallel.devices", 0, "a positive whole number, got 0"),
        ("parallel.devices", True, "of type int, got True"),
        ("parallel.strategy", None, "of type str, got None"),
        ("evaluation.batch_size", 0, "a positive whole number, got 0"),
        ("evaluation.images", -1, "not be negative, got -1"),
        ("optimizer.learning_rate", "1e-3", "of type float, got '1e-3'"),
        ("optimizer.learning_rate", True, "of type float, got True"),
        ("optimizer.clip_norm", True, "of type float, got True"),
        ("optimizer.warmup_steps", 1.0, r"of type int, got 1\.0"),
        ("data.source", 3, "of type str, got 3"),
        ("data.test_fraction", "0.1", "of type float, got '0.1'"),
    ],
)
def test_a_value_of_the_wrong_type_or_sign(field, value, expected):
    section, name = field.split(".")
    with pytest.raises(ValueError, match=rf"{section}\.{name} must (be )?{expected}$"):
        complete({section: {name: value}})


@pytest.mark.parametrize("section", ["training", "model", "parallel"])
def test_a_section_that_is_none(section):
    with pytest.raises(ae.errors.ConfigError, match=f"{section} is a section, got 3"):
        complete({section: 3})


@pytest.mark.parametrize(
    "field", ["training.steps_per_dispatch", "parallel.devices", "optimizer.clip_norm"]
)
def test_optional_fields_may_be_none_or_set(field):
    section, name = field.split(".")
    assert complete({section: {name: None}})[section][name] is None
    assert complete({section: {name: 2}})[section][name] == 2


def test_a_recipe_becomes_its_sections():
    sections = config.for_recipe(VAE)
    assert sections["model"] == {
        "encoder": config.to_plain(ae.networks.mlp((16,), "tanh").node),
        "decoder": None,
        "bottleneck": {"name": "gaussian", "latent_dim": 4, "prior": "standard_normal"},
        "likelihood": {"name": "gaussian", "variance": "predicted", "scale": 1.0, "least": None},
        "critics": {},
    }
    assert sections["players"] == {}
    assert sections["corruption"] == {"name": "masking", "rate": 0.25, "value": 0.0}
    assert sections["objective"] == {"reconstruction": {"weight": 1.0}, "kl": {"weight": 1.0}}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_the_round_trip_through_json(name):
    recipe = getattr(ae.recipes, name)()
    sections = complete(json.loads(json.dumps(config.for_recipe(recipe))))
    again = Recipe.from_config(sections)
    assert complete(config.for_recipe(again)) == sections
    assert again.bottleneck.node == recipe.bottleneck.node
    names = [term.name for term in recipe.objective.terms]
    assert [term.name for term in again.objective.terms] == names
    weights = lambda built: [float(term.weight(3)) for term in built.objective.terms]
    assert weights(again) == weights(recipe)


def test_a_model_of_built_in_parts_survives_too():
    pair = VAE.build(ae.Spec((6,), "real"))
    again = Recipe.from_config(config.for_recipe(ae.recipes.recipe.as_recipe(pair)))
    assert again.corruption.node == VAE.corruption.node
    assert again.encoder.node == VAE.encoder.node
    bare = ae.recipes.vae(4).build(ae.Spec((6,), "real"))
    Recipe.from_config(config.for_recipe(ae.recipes.recipe.as_recipe(bare)))


def test_parts_without_a_config_form_are_named_when_they_are_needed():
    recipe = ae.recipes.vae(2, encoder=ae.networks.mlp((4,), lambda x: x))
    sections = complete(config.for_recipe(recipe))
    assert sections["model"]["encoder"] == config.CUSTOM
    with pytest.raises(ae.errors.ConfigError, match="this run's encoder came as Python objects"):
        Recipe.from_config(sections)


def test_an_objective_that_cannot_be_rebuilt_is_needed_only_for_training():
    objective = ae.terms.kl(schedule=lambda step: 1.0)
    sections = complete(config.for_recipe(ae.recipes.vae(2)._replace(objective=objective)))
    assert sections["objective"] == config.CUSTOM
    with pytest.raises(ae.errors.ConfigError, match="this run's objective came as Python"):
        Recipe.from_config(sections)
    assert Recipe.from_config(sections, need_objective=False).objective.terms == ()


@pytest.mark.parametrize("objective", [3, None, [1.0]])
def test_an_objective_that_is_no_section(objective):
    sections = complete(config.for_recipe(VAE)) | {"objective": objective}
    with pytest.raises(ae.errors.ConfigError, match="objective must map terms to weights, got"):
        Recipe.from_config(sections)


def test_differences_name_field_old_and_new():
    old = complete(config.for_recipe(VAE))
    new = copy.deepcopy(old)
    assert config.differences(old, new) == []
    new["training"]["batch_size"] = 64
    new["model"]["bottleneck"]["latent_dim"] = 5
    new["corruption"] = None
    assert config.differences(old, new) == [
        "corruption: {'name': 'masking', 'rate': 0.25, 'value': 0.0} -> None",
        "model.bottleneck.latent_dim: 4 -> 5",
        "training.batch_size: 128 -> 64",
    ]


def test_what_may_differ_between_the_starts_of_a_run():
    old = complete({})
    changes = {
        "training": {"steps": 9, "log_every": 3, "keep_checkpoints": 9, "deterministic": True},
        "parallel": {"devices": 2},
        "evaluation": {"batch_size": 8},
        "pod": {"batch_per_chip": 8, "strategies": ("fsdp",)},
        "data": {"spec": {"shape": (3,), "dtype": "uint8", "num_train": 9}},
    }
    assert config.differences(old, complete(changes)) == []
    assert config.differences(old, complete({"training": {"seed": 1}})) == ["training.seed: 0 -> 1"]


def test_the_smoke_variant_shortens_the_run_and_nothing_else():
    sections = config.config_dict(VAE)
    assert config.variant(copy.deepcopy(sections), "") == sections
    smoke = config.variant(copy.deepcopy(sections), "smoke")
    changed = {k for k, v in smoke.training.items() if v != sections.training[k]}
    assert changed == {"steps", "log_every", "eval_every", "checkpoint_every"}
    assert smoke.training.steps < 100
    assert smoke.model == sections.model
    with pytest.raises(ae.errors.UnknownNameError, match=r"'smoek'; did you mean 'smoke'\?"):
        config.variant(sections, "smoek")


def test_the_smoke_variant_warms_up_in_a_tenth_of_its_steps():
    sections = config.config_dict(VAE)
    sections.optimizer.warmup_steps = 40
    assert config.variant(copy.deepcopy(sections), "").optimizer.warmup_steps == 40
    assert config.variant(copy.deepcopy(sections), "smoke").optimizer.warmup_steps == 3
    sections.optimizer.warmup_steps = 2
    assert config.variant(sections, "smoke").optimizer.warmup_steps == 2


def test_a_stand_in_is_not_held_against_the_spec_of_the_data():
    sections = config.config_dict(VAE)
    sections.data.spec = {"shape": (8,), "dtype": "uint8", "num_train": 9}
    assert config.variant(copy.deepcopy(sections), "smoke").data.spec == sections.data.spec
    sections.data.stand_in = {"source": "synthetic:4"}
    smoke = complete(config.variant(sections, "smoke"))
    assert (smoke["data"]["source"], smoke["data"]["spec"]) == ("synthetic:4", {})


def test_the_sizes_of_a_variant():
    full, smoke = {"width": 768, "depth": 12}, {"width": 32, "depth": 2}
    assert vars(config.sizes("", full, smoke)) == full
    assert vars(config.sizes("smoke", full, smoke)) == smoke
    with pytest.raises(ae.errors.UnknownNameError, match=r"'smok'; did you mean 'smoke'\?"):
        config.sizes("smok", full, smoke)
    with pytest.raises(ae.errors.ConfigError, match=r"only one has \['depth'\]"):
        config.sizes("", full, {"width": 32})


def test_a_file_may_have_variants_of_its_own():
    full, smoke, large = {"width": 768}, {"width": 32}, {"width": 1_024}
    assert vars(config.sizes("L", full, smoke, L=large)) == large
    assert vars(config.sizes("", full, smoke, L=large)) == full
    with pytest.raises(ae.errors.UnknownNameError, match=r"'XL'; did you mean 'L'\?"):
        config.sizes("XL", full, smoke, L=large)
    with pytest.raises(ae.errors.ConfigError, match=r"only one has \['depth'\]"):
        config.sizes("", full, smoke, L=large | {"depth": 24})
    sections = small.config()
    assert config.variant(copy.deepcopy(sections), "L", "B", "L") == sections
    with pytest.raises(ae.errors.UnknownNameError, match="no variant is called 'L'"):
        config.variant(sections, "L")


def test_overrides_leave_the_config_as_it_is():
    given = small.config()
    made = config.replaced(given, {"training.batch_size": 8, "model.encoder.hidden": [4]})
    assert made.training.batch_size == 8
    assert made.model.encoder["hidden"] == [4]
    assert config.to_plain(given) == config.to_plain(small.config())


def test_a_part_may_get_an_argument_that_its_node_leaves_out():
    given = small.config()
    node = given["model"]["encoder"]
    made = config.replaced(given, {"model.encoder.anything": 1})
    assert made.model.encoder == {**config.to_plain(node), "anything": 1}
