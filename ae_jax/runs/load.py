"""A run from what its workdir holds."""

from typing import Any

from ae_jax import config as config_lib
from ae_jax.data import preprocessing
from ae_jax.errors import CheckpointError
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.precision import compiled_in_float32, with_compute_dtype
from ae_jax.recipes.recipe import Recipe, as_recipe
from ae_jax.runs import summary
from ae_jax.runs.run import Run
from ae_jax.training.checkpoint_tree import variables_of
from ae_jax.types import spec_from_dict


@compiled_in_float32()
def load(
    workdir: Any,
    model: tuple[Autoencoder, Objective] | Recipe | None = None,
    step: int | str | None = None,
) -> Run:
    """A run from its workdir, as `fit` left it.

    Args:
      workdir: local or `gs://`.
      model: the `(model, objective)` pair or recipe, needed only where parts of it were the user's
        own Python objects.
      step: of which checkpoint; None: the newest readable; "best": the lowest validation loss (test
        loss, where there is no validation split).

    Returns:
      A Run.

    Raises:
      MissingFileError: this is not the workdir of a run.
      ConfigError: the run's parts cannot be rebuilt without `model`.
      CheckpointError: there is no checkpoint, or none can be read.
    """
    from ae_jax import _workdir as storage
    from ae_jax.training.checkpoint import Checkpoints

    path = storage.existing_workdir(workdir)
    stored = storage.read_config(path)
    config, spec = config_lib.complete(stored["config"]), stored["spec"]
    data_shape = tuple(spec["data_shape"])
    spec = spec_from_dict(spec)
    recipe = Recipe.from_config(config, need_objective=False) if model is None else as_recipe(model)
    built, objective = recipe.build(spec)
    built = with_compute_dtype(built, config.training.compute_dtype, spec)
    with Checkpoints(path, read_only=True) as checkpoints:
        wanted: Any = checkpoints.best_step() if step == "best" else step
        if step is not None and wanted not in checkpoints.steps():
            raise CheckpointError(
                f"there is no checkpoint of step {step!r} in '{path}'; there are those of "
                f"{checkpoints.steps()}"
            )
        restored = checkpoints.restore(wanted)
    if restored is None:
        raise CheckpointError(f"'{path}' holds no finished checkpoint yet")
    return Run(
        built,
        objective if objective.terms else None,
        variables_of(restored.tree),
        config,
        preprocessing.build(config.data.preprocessing),
        spec,
        data_shape,
        stored["num_train"],
        tuple(stored["display_range"]),
        summary.read(path),
        path,
    )
