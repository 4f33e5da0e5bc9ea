"""Runs at their first parameters, planned as `fit` plans them, without a step of training."""

from typing import Any

import jax
import numpy as np

import ae_jax as ae
from ae_jax import keys
from ae_jax.runs import planning
from tests import fast, small


def plan(recipe: Any, dataset: Any) -> Any:
    """What `fit` resolves: config, recipe, Plan and Spec."""
    dataset = ae.data.as_dataset(dataset)
    config = ae.config.for_recipe(recipe)
    config["training"] |= {**small.DEFAULTS, "batch_size": 8}
    config["parallel"]["devices"] = 1
    config["data"]["source"] = dataset.source
    return planning.resolve(ae.config.complete(config), recipe, dataset)


def run_of(recipe: Any, dataset: Any) -> ae.Run:
    """A Run of a recipe on data."""
    config, _, made, spec = plan(recipe, dataset)
    example = np.zeros(spec.event_shape, np.float32)
    variables = fast.jit(made.model.init)(keys.root(0), example, made.example_extras())
    variables = jax.tree.map(np.asarray, variables)
    train = made.dataset.train
    parts = made.model, made.objective, variables, config, made.preprocessing, spec
    return ae.Run(*parts, tuple(train.spec.x.shape), len(train), (0.0, 1.0))
