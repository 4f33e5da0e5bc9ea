"""A member of a population beside the same model trained alone."""

import time

import jax
import numpy as np

import ae_jax as ae
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs.fit import _fit, described
from tests import small
from tests.recipes.test_recipes import FIRST, OPTIONS, networks_of

SIZES = {"steps": 100, "log_every": 50, "eval_every": 100, "checkpoint_every": 100}
RATE = "optimizer.learning_rate"


def recipe_of(name):
    """A small recipe by name, and data that it is for."""
    options = dict(OPTIONS.get(name, {}))
    shape, kind = options.pop("event_shape", (small.WIDTH,)), options.pop("kind", "real")
    parts = networks_of(name)
    recipe = getattr(ae.recipes, name)(FIRST.get(name, 3), **parts, **options)
    rng = np.random.default_rng(0)
    if shape == (small.WIDTH,):
        return recipe, small.arrays()
    x = rng.random((48, *shape))
    return recipe, (x > 0.5).astype(np.uint8) if kind == "binary" else x.astype(np.float32)


def weight_of(recipe):
    """The path of the weight of an objective's last term."""
    return f"objective.{recipe.objective.terms[-1].name}.weight"


def population(recipe, data, members, devices=1, **options):
    options = {"batch_size": 16, "progress": False, "form": "vmap", **SIZES} | options
    return ae.fit_population(recipe, data, vary=members, devices=devices, **options)


def alone(recipe, data, member, workdir=None, **options):
    """The run of a member's values, on one device, its config told apart from any population."""
    training = {"batch_size": 16, **SIZES} | options
    _, dataset, config, _ = described(
        recipe,
        data,
        test=None,
        data_options={},
        preprocessing=None,
        optimizer=None,
        training=training,
        parallel={"devices": 1},
    )
    config = ae.config.replaced(config, member)
    quiet = (), False, time.time()
    return _fit(config, Recipe.from_config(config), dataset, None, workdir, *quiet)


def distance(found, expected):
    """The relative distance of two trees, in the norm over all their leaves."""
    pairs = list(zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    square = lambda x: float(np.sum(np.square(np.asarray(x, np.float64))))
    error = sum(square(np.asarray(a, np.float64) - np.asarray(b)) for a, b in pairs)
    return np.sqrt(error / sum(square(b) for _, b in pairs))
