"""From a config to a Plan: what is unset chosen, everything checked, all parts built."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import compiler
from ae_jax import config as config_lib
from ae_jax import keys as keys_lib
from ae_jax.checks import require_seed
from ae_jax.config.sections import Config, ConfigLike
from ae_jax.data import conditions, kinds
from ae_jax.data.batches import to_batch
from ae_jax.data.dataset import Dataset, check, of_section
from ae_jax.data.declared import Declared, declaration
from ae_jax.data.intake import take_in
from ae_jax.data.precision import check_digits
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.preprocessing import build as build_preprocessing
from ae_jax.data.source import in_memory, lies_in_memory, pieces, sampled
from ae_jax.data.spec import choose_preprocessing, spec_of
from ae_jax.errors import ConfigError, nearest
from ae_jax.likelihoods._checks import anything
from ae_jax.model import Autoencoder
from ae_jax.precision import with_compute_dtype
from ae_jax.recipes.defaults import KINDS, choose, start
from ae_jax.recipes.players import arranged
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs.rehearsal import rehearse
from ae_jax.training import optimizer as optimizers
from ae_jax.training import terminal
from ae_jax.training.feeds import choose_engine
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.plan import Plan
from ae_jax.training.state import check_players
from ae_jax.types import Spec, Variables

SPLITS = {"train": "training", "validation": "validation", "test": "test"}
"""What messages call them."""


def prepare(config: ConfigLike) -> Plan:
    """What `fit_config` would train, loaded, checked and built.

    Args:
      config: nested mappings; see `ae_jax.config`.

    Returns:
      The Plan.

    Raises:
      What `fit_config` raises before it compiles.
    """
    config = config_lib.complete(config)
    return resolve(config, Recipe.from_config(config), of_section(config.data))


def plan_without_data(config: ConfigLike, devices: int = 1) -> Plan:
    """What `fit_config` would train where the data are, built where they need not be.

    The data set is the one that `data.spec` declares; without a spec that of `data.stand_in`, and
    only without that the config's own: the same plan on every machine, whatever it has prepared.

    Args:
      config: nested mappings; see `ae_jax.config`.
      devices: over how many the batch is to be split, of whatever kind and wherever they are.

    Returns:
      The Plan, whose data set may have nothing to read, without a strategy.

    Raises:
      ConfigError: sizes that do not fit together, or a spec that is none.
      DataError: the config leaves to be chosen what hangs on values, and only declares the data.
    """
    config = config_lib.complete(config)
    section, recipe = config.data, Recipe.from_config(config)
    if section.spec:
        known = declaration(section.spec)
        if known.kind not in KINDS:
            raise ConfigError(
                f"data.spec.kind cannot be {known.kind!r}{nearest(known.kind, KINDS)}"
            )
        dataset = Dataset(*known.splits, kind=known.kind, num_classes=known.num_classes)
    else:
        dataset = of_section(dataclasses.replace(section, **section.stand_in))
    return resolve(config, recipe, dataset, devices=devices)


def held(dataset: Dataset) -> Dataset:
    """The data set read into memory once, as the resident engine is to have it."""
    in_files = {n: split for n, split in dataset.splits.items() if not lies_in_memory(split)}
    read = {name: in_memory(split) for name, split in in_files.items()}
    return check(dataset._replace(**read)) if read else dataset


def resolve(
    config: ConfigLike,
    recipe: Recipe,
    dataset: Dataset,
    optimizer: optax.GradientTransformation | None = None,
    verbose: bool = False,
    devices: int | None = None,
) -> Plan:
    """Chooses what is unset, checks everything against the data, and builds the parts.

    Args:
      config: a Config, or nested mappings.
      recipe: of its model sections.
      dataset: checked; its facts are looked at once.
      optimizer: in place of the config's section.
      verbose: print what is chosen.
      devices: how many devices there will be, described elsewhere, and data that need not be there;
        None: the config's devices, on this machine.

    Returns:
      The Plan.

    Raises:
      ConfigError: sizes that do not fit together.
      DataError: data outside the likelihood's range.
    """
    config = config_lib.complete(config)
    data, training, size = config.data, config.training, len(dataset.train)
    engine = choose_engine(data.engine, dataset.splits, data.resident_mib * 2**20)
    if devices is None and engine == "resident":
        dataset = held(dataset)
    require_seed(**{"training.seed": training.seed})
    strategy = parallel.from_config(config.parallel) if devices is None else None
    devices = len(strategy.devices) if strategy is not None else devices or 1
    accumulation = training.accumulation
    parallel.check_batch(training.batch_size, devices, accumulation=accumulation)
    if eval_size := config.evaluation.batch_size:
        parallel.check_batch(eval_size, devices, "evaluation.batch_size")
    if training.batch_size > size:
        raise ConfigError(
            f"training.batch_size is {training.batch_size}, but the training split has only "
            f"{size} examples; at most {size // devices * devices} here"
        )
    preprocessing, spec = _preprocess(config, dataset)
    filled = recipe.fill(spec)
    likelihood: Any = filled.likelihood
    filled = filled._replace(likelihood=start(likelihood, dataset, preprocessing))
    config = config_lib.with_recipe(config, filled, preprocessing.node)
    if verbose:
        _print_choices(config, recipe, spec)
    model, objective = filled.build(spec)
    model = with_compute_dtype(model, training.compute_dtype, spec)
    _validate(model, preprocessing, dataset, spec)
    dataset = _conditioned(dataset, model)
    plan = Plan(config, model, objective, (), preprocessing, dataset, spec, engine, strategy)
    plan = plan._replace(recipe=filled)
    variables = shapes_of(plan)
    rehearse(plan, plan.example(), variables)
    return _playing(plan, variables, optimizer)


def rebuilt(
    plan: Plan,
    config: Config,
    recipe: Recipe,
    optimizer: optax.GradientTransformation | None = None,
    variables: Variables | None = None,
) -> Plan:
    """The plan with other numbers in it, for the same data, which are not looked at.

    Args:
      plan: of `resolve`.
      config: complete, as the plan's is; its numbers may be traced.
      recipe: of its model sections.
      optimizer: in place of the config's section.
      variables: shapes of those of the new model; None: found by tracing it.

    Returns:
      A Plan.

    Raises:
      ConfigError: a number that is not traced is out of range.
    """
    model, objective = recipe.build(plan.spec)
    model = with_compute_dtype(model, config.training.compute_dtype, plan.spec)
    plan = plan._replace(config=config, model=model, objective=objective, recipe=recipe)
    return _playing(plan, shapes_of(plan) if variables is None else variables, optimizer)


def shapes_of(plan: Plan) -> Variables:
    """The shapes of the model's variables."""
    shapes = plan.example(), plan.example_extras()
    return jax.eval_shape(plan.model.init, jax.random.key(0), *shapes)


def _playing(
    plan: Plan, variables: Variables, optimizer: optax.GradientTransformation | None
) -> Plan:
    """The plan with its players and their optimizers."""
    section, training = plan.config.optimizer, plan.config.training
    if optimizer is None:
        sizes = training.steps, training.batch_size
        optimizer = optimizers.from_config(section, *sizes)
        plan = plan._replace(learning_rate=optimizers.rate_of(section, *sizes))
    build = lambda section: optimizers.from_config(section, training.steps, training.batch_size)
    default = plan.objective, variables, optimizer, section, build
    players = arranged(plan.recipe.players, *default, critics=tuple(plan.model.critics))
    check_players(players, variables)
    return plan._replace(players=players)


def _conditioned(dataset: Dataset, model: Autoencoder) -> Dataset:
    """The data set whose splits hold the conditions that the model takes."""
    wanted = conditions.of_model(model)
    guard = lambda name, split: conditions.guarded(split, wanted, f"the {SPLITS[name]} split")
    named = {name: guard(name, split) for name, split in dataset.splits.items()}
    return dataset._replace(**named)


def _validate(
    model: Autoencoder, preprocessing: Preprocessing, dataset: Dataset, spec: Spec
) -> None:
    """Checks kind and support of the likelihood on all arrays, on a sample of what is streamed.

    It is the one further sweep over data whose facts are known, as a user's own likelihood may need
    every value; where all numbers are supported, one piece is preprocessed to see that it can be.
    """
    declared = dataset.kind is not None and kinds.VALUES[spec.kind] is not kinds.anything

    @compiler.jit
    def preprocessed(records):
        count = len(records.x)
        draws = keys_lib.any_draws(count)
        return to_batch(records, jnp.zeros(count, jnp.uint32), preprocessing, draws).x

    for name, part in dataset.splits.items():
        if isinstance(part, Declared):
            continue
        whole = lies_in_memory(part)
        first = 0 if whole else None
        for piece in pieces(take_in(part if whole else sampled(part), preprocessing.host)):
            x = np.asarray(preprocessed(piece._replace(extras={})))
            if declared:
                kinds.check_values(x, spec, SPLITS[name], first, piece.valid, piece.x)
            model.likelihood.validate(x)
            if model.likelihood.validate is anything and not declared:
                break
            first = None if first is None else first + len(x)


def _preprocess(config, dataset):
    node = config.data.preprocessing
    shape = dataset.train.spec.x.shape
    kinds.check_kind(dataset.kind, dataset.num_classes, dataset.columns, shape)
    chosen = choose_preprocessing(dataset) if node is None else build_preprocessing(node)
    if not isinstance(dataset.train, Declared):
        check_digits(dataset, chosen.host)
    return chosen, spec_of(dataset, chosen)


def _print_choices(config: Config, recipe: Recipe, spec: Spec) -> None:
    unset = [name for name in choose(spec, recipe.bottleneck) if getattr(recipe, name) is None]
    chosen = {name: getattr(config.model, name) for name in unset}
    if config.data.preprocessing is not None:
        chosen["preprocessing"] = config.data.preprocessing
    for name, node in chosen.items():
        given = ((k, v) for k, v in node.items() if k != "name" and v is not None)
        arguments = ", ".join(f"{k}={v!r:.60}" for k, v in given)
        terminal.say(f"from the data: {name} = {node['name']}({arguments})")
