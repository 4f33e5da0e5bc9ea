"""`fit`: from a recipe and data to a trained Run; resumes what the workdir already holds."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import config as config_lib
from ae_jax import keys as keys_lib
from ae_jax import optimizers
from ae_jax.choices import KINDS, choose, choose_preprocessing, display_range, spec_of
from ae_jax.data.dataset import Dataset, as_dataset, check, of_section
from ae_jax.data.declared import Declared, declaration
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.preprocessing import build as build_preprocessing
from ae_jax.data.resident import to_batch
from ae_jax.data.source import Arrays, in_memory, pieces, sampled
from ae_jax.errors import ConfigError, PartError, nearest
from ae_jax.model import Autoencoder
from ae_jax.precision import with_compute_dtype
from ae_jax.recipe import Recipe
from ae_jax.run import Run, as_recipe
from ae_jax.training import parallel, processes
from ae_jax.training.feeds import choose_engine
from ae_jax.training.plan import Plan
from ae_jax.training.profiling import Profiler
from ae_jax.training.step import single_player
from ae_jax.types import Batch, Context, Spec, Variables


def fit(
    model: Any,
    data: Any,
    *,
    test: Any = None,
    steps: int = 5000,
    batch_size: int = 128,
    optimizer: optax.GradientTransformation | Mapping[str, Any] | None = None,
    workdir: Any = None,
    seed: int = 0,
    preprocessing: Any = None,
    engine: str = "auto",
    resident_mib: int = 1024,
    strategy: str = "pmap",
    callbacks: Sequence[Callable[..., None]] = (),
    progress: bool = True,
    **training: Any,
) -> Run:
    """Trains an autoencoder.

    Args:
      model: a recipe (`ae.recipes.vae(latent_dim=32)`) or a pair `(model, objective)`.
      data: an array `[n, *event]`, an `ae.data.Dataset`, or a source's name such as "digits".
      test: an array to evaluate on; None holds out a tenth of the data, always the same.
      steps: optimizer steps in all.
      batch_size: of the global batch, over all devices.
      optimizer: an optax optimizer, or the config section `{"name": …, "learning_rate": …}`; None:
        Adam at 1e-3.
      workdir: where everything is kept, local or `gs://`; the same call again resumes. None keeps
        nothing.
      seed: of parameters, noise and data order.
      preprocessing: an `ae.data.preprocessing` part, its config node, or a list of these; None:
        chosen from the data, see `ae.choices.choose_preprocessing`.
      engine: "resident" (data on the device), "streaming", or "auto": resident if all splits fit
        in the budget.
      resident_mib: that budget, in MiB.
      strategy: how devices share the work, e.g. "pmap".
      callbacks: each called with a `LogPoint(step, split, metrics)` at every log point; of several
        processes, in the first.
      progress: whether to show the run on the terminal.
      **training: any other field of the config's `training` section, e.g. `log_every=50`.

    Returns:
      A Run.

    Raises:
      ConfigError: an option out of range, before anything is compiled.
      PartError: a model or optimizer that is none.
      DataError: data that are empty, not finite, or outside the likelihood's range.
      ShapeError: parts whose shapes do not meet.
      WorkdirError: the workdir cannot be written or belongs to another config.
      NonFiniteError: loss or gradients stayed non-finite.
      Preempted: SIGTERM arrived; the run is saved and the same call resumes it.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> x = np.random.default_rng(0).random((256, 8)).astype(np.float32)
      >>> run = ae.fit(ae.recipes.vae(latent_dim=2), x, steps=20, batch_size=32, progress=False)
      >>> run.encode(x).shape
      (256, 2)
    """
    recipe = as_recipe(model)
    config = config_lib.for_recipe(recipe)
    config["data"]["source"] = data if isinstance(data, str) else None
    options = {"steps": steps, "batch_size": batch_size, "seed": seed, **training}
    config["training"] |= options
    config["data"] |= {"engine": engine, "resident_mib": resident_mib}
    config["parallel"]["strategy"] = strategy
    if isinstance(optimizer, Mapping):
        config["optimizer"] |= optimizer
    elif optimizer is not None:
        if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
            raise PartError(
                "optimizer must be an optax optimizer or a mapping such as {'name': 'adam', "
                f"'learning_rate': 1e-3}}, got {optimizer!r:.200}"
            )
        config["optimizer"]["name"] = config_lib.CUSTOM
    custom = None if isinstance(optimizer, Mapping) else optimizer
    dataset = as_dataset(data, test)
    config["data"] |= {"source": dataset.source, **config_lib.to_plain(dataset.options)}
    if preprocessing is not None:
        node = build_preprocessing(preprocessing).node
        if node is None:
            raise ConfigError(
                "preprocessing has no config form, so that the run could not be loaded again; name "
                "your own {'name': 'package.module:function'}"
            )
        config["data"]["preprocessing"] = node.to_dict()
    return _fit(config, recipe, dataset, custom, workdir, callbacks, progress, time.time())


def fit_config(
    config: Mapping[str, Any],
    workdir: Any = None,
    *,
    callbacks: Sequence[Callable[..., None]] = (),
    progress: bool = True,
    started: float | None = None,
    profile: tuple[int, int] | None = None,
) -> Run:
    """Trains what a config describes, as `scripts/train.py` does.

    Args:
      config: nested mappings; see `ae_jax.config`.
      workdir: see `fit`.
      callbacks: see `fit`.
      progress: see `fit`.
      started: `time.time()` from which the time to the first step counts; None: now.
      profile: `(first, last)`: a trace of the steps between is kept in `workdir/profile`.

    Returns:
      A Run.

    Raises:
      What `fit` raises.
    """
    started = time.time() if started is None else started
    if profile is not None:
        Profiler(profile)
        if workdir is None:
            raise ConfigError("a profile is kept in the workdir, which is not given")
    with processes.agreed():
        config = config_lib.complete(config)
        recipe = config_lib.recipe_of(config)
        dataset = of_section(config["data"])
    return _fit(config, recipe, dataset, None, workdir, callbacks, progress, started, profile)


def _fit(
    config: Mapping[str, Any],
    recipe: Recipe,
    dataset: Dataset,
    optimizer: optax.GradientTransformation | None,
    workdir: Any,
    callbacks: Sequence[Callable[..., None]],
    progress: bool,
    started: float,
    profile: tuple[int, int] | None = None,
) -> Run:
    from ae_jax.session import Session  # the files, figures and checkpoints come with it

    with processes.agreed():
        config = config_lib.complete(config)
        dataset = _held(config["data"], dataset)
        shown = progress and processes.is_first()
        config, recipe, plan, spec = resolve(config, recipe, dataset, optimizer, shown)
    run = Run(
        plan.model,
        plan.objective,
        Variables({}, {}),  # the session fills them in
        config,
        plan.preprocessing,
        spec,
        tuple(dataset.train.spec.x.shape),
        len(dataset.train),
        display_range(dataset),
    )
    return Session(plan, run, workdir, callbacks, progress, started, profile).run_to_end()


def prepare(config: Mapping[str, Any]) -> tuple[Plan, Spec]:
    """What `fit_config` would train, loaded, checked and built.

    Args:
      config: nested mappings; see `ae_jax.config`.

    Returns:
      The Plan, and the Spec of one example.

    Raises:
      What `fit_config` raises before it compiles.
    """
    config = config_lib.complete(config)
    dataset = _held(config["data"], of_section(config["data"]))
    return resolve(config, config_lib.recipe_of(config), dataset)[2:]


def plan_without_data(config: Mapping[str, Any], devices: int = 1) -> tuple[Plan, Spec]:
    """What `fit_config` would train where the data are, built where they need not be.

    The data set is the one that `data.spec` declares; without a spec that of `data.stand_in`, and
    only without that the config's own: the same plan on every machine, whatever it has prepared.

    Args:
      config: nested mappings; see `ae_jax.config`.
      devices: over how many the batch is to be split, of whatever kind and wherever they are.

    Returns:
      The Plan, whose data set may have nothing to read, and the Spec of one example.

    Raises:
      ConfigError: sizes that do not fit together, or a spec that is none.
      DataError: the config leaves to be chosen what hangs on values, and only declares the data.
    """
    config = config_lib.complete(config)
    section, recipe = config["data"], config_lib.recipe_of(config)
    if section["spec"]:
        known = declaration(section["spec"])
        if known.kind not in KINDS:
            raise ConfigError(
                f"data.spec.kind cannot be {known.kind!r}{nearest(known.kind, KINDS)}"
            )
        dataset = Dataset(*known.splits, kind=known.kind, num_classes=known.num_classes)
    else:
        dataset = of_section({**section, **section["stand_in"]})
    return resolve(config, recipe, dataset, devices=devices)[2:]


def _held(section: Mapping[str, Any], dataset: Dataset) -> Dataset:
    """The data set read into memory once, if the resident engine is to have it."""
    engine = choose_engine(section["engine"], dataset.splits, section["resident_mib"] * 2**20)
    if engine == "streaming":
        return dataset
    read = {name: in_memory(split) for name, split in dataset.splits.items()}
    return check(dataset._replace(**read))


def resolve(
    config: dict[str, Any],
    recipe: Recipe,
    dataset: Dataset,
    optimizer: optax.GradientTransformation | None = None,
    verbose: bool = False,
    devices: int | None = None,
) -> tuple[dict[str, Any], Recipe, Plan, Spec]:
    """Chooses what is unset, checks everything against the data, and builds the parts.

    Args:
      config: complete.
      recipe: of its model sections.
      dataset: checked.
      optimizer: in place of the config's section.
      verbose: print what is chosen.
      devices: over how many the batch is split; None: those of the config, on this machine.

    Returns:
      The config with nothing unset, the recipe likewise, the Plan and the Spec.

    Raises:
      ConfigError: sizes that do not fit together.
      DataError: data outside the likelihood's range.
    """
    training, size = config["training"], len(dataset.train)
    devices = devices or len(parallel.from_config(config["parallel"]).devices)
    accumulation = training["accumulation"]
    parallel.check_batch(training["batch_size"], devices, accumulation=accumulation)
    if eval_size := config["evaluation"]["batch_size"]:
        parallel.check_batch(eval_size, devices, "evaluation.batch_size")
    if training["batch_size"] > size:
        raise ConfigError(
            f"training.batch_size is {training['batch_size']}, but the training split has only "
            f"{size} examples; at most {size // devices * devices} here"
        )
    preprocessing, spec = _preprocess(config, dataset)
    filled = recipe.fill(spec)
    config = _stored(config, filled, preprocessing)
    if verbose:
        _print_choices(config, recipe, spec)
    model, objective = filled.build(spec)
    model = with_compute_dtype(model, training["compute_dtype"], spec)
    _validate(model, preprocessing, dataset)
    plan = Plan(config, model, objective, (), preprocessing, dataset)
    example = np.zeros(spec.event_shape, np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), example, plan.example_extras())
    _trace(plan, example, variables, training["batch_size"] // (devices * accumulation))
    if optimizer is None:
        sizes = training["steps"], training["batch_size"]
        optimizer = optimizers.from_config(config["optimizer"], *sizes)
    players = single_player(objective, optimizer, variables)
    return config, filled, plan._replace(players=players), spec


def _trace(plan: Plan, example: np.ndarray, variables: Variables, size: int) -> None:
    """Goes through the objective without compiling, for what only the whole model shows wrong."""
    model, objective, num_train = plan.model, plan.objective, len(plan.dataset.train)
    many = lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape))
    missing = plan.dataset.train.spec.observed is not None

    def loss(variables):
        observed = jnp.ones((size, *example.shape), bool) if missing else None
        extras = jax.tree.map(many, plan.example_extras())
        batch = Batch(many(example), observed, extras=extras)
        keys = keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(size, dtype=jnp.uint32))
        outputs, _ = model.forward(variables, batch, keys, samples=objective.samples, train=True)
        step = jnp.zeros((), jnp.int32)
        return objective(outputs, Context(model, variables, batch, keys, step, num_train))

    jax.eval_shape(loss, variables)


def _validate(model: Autoencoder, preprocessing: Preprocessing, dataset: Dataset) -> None:
    """Checks the support of the likelihood on all arrays, on a sample of what is streamed."""
    for part in dataset.splits.values():
        if isinstance(part, Declared):
            continue
        for piece in pieces(part if isinstance(part, Arrays) else sampled(part)):
            index, draws = np.zeros(len(piece.x), np.uint32), keys_lib.any_draws(len(piece.x))
            model.likelihood.validate(np.asarray(to_batch(piece, index, preprocessing, draws).x))


def _preprocess(config, dataset):
    node = config["data"]["preprocessing"]
    chosen = choose_preprocessing(dataset) if node is None else build_preprocessing(node)
    return chosen, spec_of(dataset, chosen)


def _stored(config: dict[str, Any], recipe: Recipe, preprocessing: Any) -> dict[str, Any]:
    sections = config_lib.for_recipe(recipe)
    merged = {**config, **{name: sections[name] for name in ("model", "objective", "corruption")}}
    node = config_lib.to_plain(preprocessing.node)
    return merged | {"data": {**config["data"], "preprocessing": node}}


def _print_choices(config: Mapping[str, Any], recipe: Recipe, spec: Spec) -> None:
    unset = [name for name in choose(spec, recipe.bottleneck) if getattr(recipe, name) is None]
    chosen = {name: config["model"][name] for name in unset}
    if config["data"]["preprocessing"] is not None:
        chosen["preprocessing"] = config["data"]["preprocessing"]
    for name, node in chosen.items():
        given = ((k, v) for k, v in node.items() if k != "name" and v is not None)
        arguments = ", ".join(f"{k}={v!r:.60}" for k, v in given)
        print(f"from the data: {name} = {node['name']}({arguments})", file=sys.stderr)
