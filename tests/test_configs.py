"""Every file in configs/: it loads, completes, is built, and says how it is run."""

import importlib.util
import math

import jax
import ml_collections
import pytest

import ae_jax as ae
from ae_jax import config as config_lib
from ae_jax.data.dataset import of_section
from ae_jax.errors import UnknownNameError
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs.pictures import Pictures
from ae_jax.runs.planning import plan_without_data, resolve
from tests.scripts import ROOT

FILES = sorted((ROOT / "configs").glob("*.py"))


def module_of(path):
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_numbers(value):
    """A config's outline, in which sizes, rows of sizes and rows of those do not show."""
    if isinstance(value, dict):
        return {key: without_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        sizes = all(without_numbers(item) in ("number", "numbers") for item in value)
        return "numbers" if sizes else value
    return "number" if type(value) in (int, float) else value


def test_there_are_configs():
    assert len(FILES) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestConfig:
    def test_it_completes_and_its_recipe_comes_back(self, path):
        config = module_of(path).get_config()
        assert isinstance(config, ml_collections.ConfigDict)
        complete = config_lib.complete(config)
        recipe = Recipe.from_config(complete)
        again = config_lib.for_recipe(recipe)
        for section in ("model", "objective", "corruption"):
            assert again[section] == config_lib.to_plain(getattr(complete, section))

    def test_the_parts_fit_its_data(self, path):
        complete = config_lib.replaced(module_of(path).get_config("smoke"), {"parallel.devices": 1})
        dataset = of_section(complete.data)
        plan = resolve(complete, Recipe.from_config(complete), dataset)
        config, spec = plan.config, plan.spec
        shape = plan.preprocessing.event_shape(dataset.train.spec.x.shape)
        assert spec.event_shape == shape
        assert all(node for name, node in vars(config.model).items() if name != "critics")
        assert config_lib.complete(config_lib.to_plain(config)) == config
        assert plan.players[0].objective is plan.objective

    def test_smoke_is_the_same_experiment_but_short(self, path):
        module = module_of(path)
        made = (config_lib.complete(module.get_config(variant)) for variant in ("", "smoke"))
        full, smoke = map(config_lib.to_plain, made)
        assert smoke["training"]["steps"] <= 50 < full["training"]["steps"]
        assert smoke["training"]["eval_every"] <= smoke["training"]["steps"]
        if full["data"]["stand_in"]:
            full["data"] |= {"spec": {}, **full["data"]["stand_in"]}
        full["training"] = smoke["training"]
        full["optimizer"]["warmup_steps"] = smoke["optimizer"]["warmup_steps"]
        of = without_numbers if hasattr(module, "SMOKE") else dict
        assert of(smoke) == of(full)

    def test_it_is_planned_without_its_data(self, path):
        config = config_lib.complete(module_of(path).get_config())
        if config.data.spec or config.data.stand_in:
            config = config_lib.replaced(config, {"data.source": "npy:nowhere.npy"})
        plan = plan_without_data(config)
        shape = plan.preprocessing.event_shape(plan.dataset.train.spec.x.shape)
        assert plan.spec.event_shape == shape
        model = vars(plan.config.model)
        assert all(node for name, node in model.items() if name != "critics")

    @pytest.mark.slow
    def test_it_trains_on_eight_devices_as_it_is(self, path, monkeypatch):
        optimisation = jax.config.read("jax_disable_most_optimizations")
        jax.config.update("jax_disable_most_optimizations", True)  # 30 steps are soon done
        monkeypatch.setattr(Pictures, "draw", lambda *_: None)
        try:
            run = ae.fit_config(module_of(path).get_config("smoke"), progress=False)
        finally:
            jax.config.update("jax_disable_most_optimizations", optimisation)
        assert (run.summary["status"], run.summary["device_count"]) == ("finished", 8)
        assert run.summary["steps"] == 30
        assert all(map(math.isfinite, run.summary["metrics"]["test"].values()))

    def test_an_unknown_variant_is_refused(self, path):
        with pytest.raises(UnknownNameError, match="did you mean 'smoke'"):
            module_of(path).get_config("smok")

    def test_its_docstring_gives_command_and_expected_result(self, path):
        text = module_of(path).__doc__
        command = f"python scripts/train.py --config=configs/{path.name} --workdir="
        assert command in text
        assert "Expected" in text


def test_the_vision_transformer_comes_in_two_sizes():
    module = module_of(FILES[0].parent / "mae_vit_imagenet.py")
    base, named, large = (module.get_config(variant) for variant in ("", "B", "L"))
    assert base == named
    blocks = lambda config: (config.model.encoder.width, config.model.encoder.depth)
    assert (blocks(base), blocks(large)) == ((768, 12), (1_024, 24))  # He et al. 2022, appendix A.1
    assert (base.pod.batch_per_chip, large.pod.batch_per_chip) == (256, 384)
