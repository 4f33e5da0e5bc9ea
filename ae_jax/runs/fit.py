"""`fit`: from a recipe and data to a trained Run; resumes what the workdir already holds."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import optax

from ae_jax import config as config_lib
from ae_jax.config.sections import ConfigLike, TrainingOptions
from ae_jax.data.dataset import Dataset, of_section
from ae_jax.data.inputs import as_dataset
from ae_jax.data.preprocessing import build as build_preprocessing
from ae_jax.errors import ConfigError, PartError
from ae_jax.precision import compiled_in_float32
from ae_jax.recipes.recipe import Recipe, as_recipe
from ae_jax.runs import planning
from ae_jax.runs.run import Run
from ae_jax.training.parallel import processes
from ae_jax.training.profiling import Profiler


@compiled_in_float32()
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
    **training: Unpack[TrainingOptions],
) -> Run:
    """Trains an autoencoder.

    Args:
      model: a recipe (`ae.recipes.vae(latent_dim=32)`) or a pair `(model, objective)`.
      data: an array `[n, *event]`, a masked array, a table of numbers with named columns, a pair
        `(x, extras)`, an `ae.data.Dataset`, or a source's name such as "digits".
      test: what to evaluate on in place of the data's own test split: an array, a pair
        `(x, extras)`, or a split such as `ae.data.load("digits").test`; None: the data's own, or of
        an array a tenth, always the same.
      steps: optimizer steps in all.
      batch_size: of the global batch, over all devices.
      optimizer: an optax optimizer, or the config section `{"name": …, "learning_rate": …}`; None:
        Adam at 1e-3.
      workdir: where everything is kept, local or `gs://`; the same call again resumes. None keeps
        nothing.
      seed: of parameters, noise and data order; a whole number below 2³².
      preprocessing: an `ae.data.preprocessing` part, its config node, or a list of these; None:
        chosen from the data, see `ae.data.spec.choose_preprocessing`.
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
    recipe, dataset, config, custom = described(
        model,
        data,
        test=test,
        data_options={"engine": engine, "resident_mib": resident_mib},
        preprocessing=preprocessing,
        optimizer=optimizer,
        training={"steps": steps, "batch_size": batch_size, "seed": seed, **training},
        parallel={"strategy": strategy},
    )
    return _fit(config, recipe, dataset, custom, workdir, callbacks, progress, time.time())


def described(
    model: Any,
    data: Any,
    *,
    test: Any,
    data_options: Mapping[str, Any],
    preprocessing: Any,
    optimizer: Any,
    training: Mapping[str, Any],
    parallel: Mapping[str, Any],
) -> tuple[Recipe, Dataset, dict[str, Any], optax.GradientTransformation | None]:
    """What the arguments of `fit` say.

    Args:
      model: see `fit`.
      data: see `fit`.
      test: see `fit`.
      data_options: fields of the config's `data` section.
      preprocessing: see `fit`.
      optimizer: see `fit`.
      training: fields of the config's `training` section.
      parallel: fields of the config's `parallel` section.

    Returns:
      Recipe, data set, config, and the optimizer where it is no section.

    Raises:
      PartError: a model or optimizer that is none.
      What `as_dataset` raises.
    """
    recipe = as_recipe(model)
    if isinstance(optimizer, Mapping):
        custom, moved = None, dict(optimizer)
    else:
        custom, moved = optimizer, {} if optimizer is None else {"name": config_lib.CUSTOM}
    if custom is not None and not (hasattr(custom, "init") and hasattr(custom, "update")):
        raise PartError(
            "optimizer must be an optax optimizer or a mapping such as {'name': 'adam', "
            f"'learning_rate': 1e-3}}, got {optimizer!r:.200}"
        )
    dataset = as_dataset(data, test, copy=False)
    source = {"source": dataset.source, **dataset.options, **_stored(preprocessing)}
    config = config_lib.for_recipe(
        recipe,
        data={**data_options, **source},
        training=training,
        optimizer=moved,
        parallel=parallel,
    )
    return recipe, dataset, config, custom


def _stored(preprocessing: Any) -> dict[str, Any]:
    """What the config's `data` section holds of preprocessing that is given, rather than chosen."""
    if preprocessing is None:
        return {}
    node = build_preprocessing(preprocessing).node
    if node is None:
        raise ConfigError(
            "preprocessing has no config form, so that the run could not be loaded again; name "
            "your own {'name': 'package.module:function'}"
        )
    return {"preprocessing": node.to_dict()}


@compiled_in_float32()
def fit_config(
    config: ConfigLike,
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
        recipe = Recipe.from_config(config)
        dataset = of_section(config.data)
    return _fit(config, recipe, dataset, None, workdir, callbacks, progress, started, profile)


def _fit(
    config: ConfigLike,
    recipe: Recipe,
    dataset: Dataset,
    optimizer: optax.GradientTransformation | None,
    workdir: Any,
    callbacks: Sequence[Callable[..., None]],
    progress: bool,
    started: float,
    profile: tuple[int, int] | None = None,
) -> Run:
    from ae_jax.runs.start import Start  # the files, figures and checkpoints come with it

    with processes.agreed():
        config = config_lib.complete(config)
        if workdir is not None and config.training.accept_new_data:
            from ae_jax.runs import resuming

            config, recipe = resuming.keep_choices(workdir, config, recipe)
        shown = progress and processes.is_first()
        plan = planning.resolve(config, recipe, dataset, optimizer, shown)
    run = Run.of_plan(plan, workdir)
    state, summary = Start(plan, run, workdir, callbacks, progress, started, profile).train()
    return run.holding(state.evaluated, summary)
