"""A member of a population beside the same model trained alone."""

import time

import jax
import numpy as np

import ae_jax as ae
from ae_jax import compiler, keys
from ae_jax.population.begin import first_state
from ae_jax.population.groups import resolve
from ae_jax.population.programs import stacked_values
from ae_jax.population.stack import group_stacks, place_data, position
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs import first_batch, planning
from ae_jax.runs.fit import _fit, described
from ae_jax.training.loop import Loop
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.members import over
from ae_jax.training.reporting import Reporter
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


def planned(recipe, data, optimizer=None, **options):
    """The config of `fit`'s arguments, for one device, and the data set."""
    _, dataset, config, _ = described(
        recipe,
        data,
        test=None,
        data_options={},
        preprocessing=None,
        optimizer=optimizer,
        training={"batch_size": 16, **SIZES} | options,
        parallel={"devices": 1},
    )
    return config, dataset


def alone(recipe, data, member, workdir=None, **options):
    """The run of a member's values, on one device, its config told apart from any population."""
    config, dataset = planned(recipe, data, **options)
    config = ae.config.replaced(config, member)
    quiet = (), False, time.time()
    return _fit(config, Recipe.from_config(config), dataset, None, workdir, *quiet)


def trained_alone(config, dataset):
    """The state in which a single run ends, without its evaluations and files."""
    config = ae.config.complete(config)
    plan = planning.resolve(config, Recipe.from_config(config), dataset)
    root = keys.root(config.training.seed)
    state = first_batch.started(plan, compiler.jit(plan.init)(root), root)
    with Reporter(None, 0, config.training.steps, progress=False) as reporter:
        loop = Loop(plan, state, 0, reporter)
        while not loop.finished:
            loop.dispatch()
        return loop.progress().state


def trained_together(recipe, config, dataset, members, devices):
    """The states in which the members of a population end, without its evaluations and files.

    Args:
      recipe: of the config.
      config: of the population.
      dataset: of both.
      members: of one program.
      devices: several numbers of them, on each of which all members are trained.

    Returns:
      By number of devices, the states, `[members, …]`.
    """
    found = resolve(ae.config.complete(config), recipe, dataset, members)
    (group,) = found.groups
    values = stacked_values(group.traced, group.configs)
    first = first_state(group, values, None, print)
    states, training = {}, found.base.config.training
    for count in devices:
        where = over(jax.devices()[:count], "vmap")
        records = place_data(found.base, where)
        (stack,) = group_stacks(group, first, values, None, where, records, None, 0)
        sizes = training.batch_size, len(dataset.train), training.steps
        stack.advance(records["train"], where.place(position(0, *sizes, fresh=True)))
        states[count] = stack.trimmed(parallel.fetch(stack.state))
    return states


def distance(found, expected):
    """The relative distance of two trees, in the norm over all their leaves."""
    pairs = list(zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    square = lambda x: float(np.sum(np.square(np.asarray(x, np.float64))))
    error = sum(square(np.asarray(a, np.float64) - np.asarray(b)) for a, b in pairs)
    return np.sqrt(error / sum(square(b) for _, b in pairs))
