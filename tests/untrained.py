"""Runs at their first parameters, planned as `fit` plans them, without a step of training."""

import dataclasses
from typing import Any

import jax
import numpy as np

import ae_jax as ae
from ae_jax import keys
from ae_jax.runs import planning
from tests import fast, small


def plan(recipe: Any, dataset: Any) -> Any:
    """What `fit` resolves: a Plan."""
    dataset = ae.data.as_dataset(dataset)
    config = ae.config.for_recipe(recipe)
    config["training"] |= {**small.DEFAULTS, "batch_size": 8}
    config["parallel"]["devices"] = 1
    config["data"]["source"] = dataset.source
    return planning.resolve(ae.config.complete(config), recipe, dataset)


def run_of(recipe: Any, dataset: Any) -> ae.Run:
    """A Run of a recipe on data."""
    made = plan(recipe, dataset)
    init = fast.jit(made.model.init)
    variables = init(keys.root(0), made.example(), made.example_extras())
    run = ae.Run.of_plan(made).holding(jax.tree.map(np.asarray, variables))
    return dataclasses.replace(run, display_range=(0.0, 1.0))
