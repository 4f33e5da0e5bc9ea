"""Every file in configs/: it loads, completes, is built, and says how it is run."""

import importlib.util
import pathlib

import ml_collections
import pytest

from ae_jax import config as config_lib
from ae_jax.data.dataset import of_section
from ae_jax.errors import UnknownNameError
from ae_jax.fitting import resolve

FILES = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


def module_of(path):
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_configs():
    assert len(FILES) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestConfig:
    def test_it_completes_and_its_recipe_comes_back(self, path):
        config = module_of(path).get_config()
        assert isinstance(config, ml_collections.ConfigDict)
        complete = config_lib.complete(config)
        recipe = config_lib.recipe_of(complete)
        again = config_lib.for_recipe(recipe)
        for section in ("model", "objective", "corruption"):
            assert again[section] == complete[section]

    def test_the_parts_fit_its_data(self, path):
        complete = config_lib.complete(module_of(path).get_config("smoke")) | {
            "parallel": {"strategy": "pmap", "devices": 1}
        }
        dataset = of_section(complete["data"])
        config, _, plan, spec = resolve(complete, config_lib.recipe_of(complete), dataset)
        shape = plan.preprocessing.event_shape(dataset.train.spec.x.shape)
        assert spec.event_shape == shape
        assert all(config["model"].values())
        assert config_lib.complete(config) == config
        assert plan.players[0].objective is plan.objective

    def test_smoke_is_the_same_experiment_but_short(self, path):
        module = module_of(path)
        full, smoke = (config_lib.complete(module.get_config(v)) for v in ("", "smoke"))
        assert smoke["training"]["steps"] <= 50 < full["training"]["steps"]
        assert smoke["training"]["eval_every"] <= smoke["training"]["steps"]
        data = {**full["data"], **full["data"]["stand_in"]}
        assert {**smoke, "training": 0} == {**full, "training": 0, "data": data}

    def test_an_unknown_variant_is_refused(self, path):
        with pytest.raises(UnknownNameError, match="did you mean 'smoke'"):
            module_of(path).get_config("smok")

    def test_its_docstring_gives_command_and_expected_result(self, path):
        text = module_of(path).__doc__
        command = f"python scripts/train.py --config=configs/{path.name} --workdir="
        assert command in text
        assert "Expected" in text
