"""Estimators in a workdir: the run as `fit` would have left it, and what else they know as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from ae_jax import _workdir as storage
from ae_jax import config as config_lib
from ae_jax import keys
from ae_jax.config.sections import VERSION
from ae_jax.data import preprocessing
from ae_jax.errors import ConfigError, WorkdirError, nearest
from ae_jax.precision import with_compute_dtype
from ae_jax.recipes import Recipe
from ae_jax.runs.load import load as load_run
from ae_jax.runs.run import Run
from ae_jax.training import TrainState
from ae_jax.training.optimizer import from_config as optimizer_from_config
from ae_jax.training.step import single_player
from ae_jax.types import Variables, spec_from_dict, spec_to_dict

FILE, ARRAYS, MEMBERS = "estimator.json", "estimator.npz", "members"
T = TypeVar("T")


def save(
    estimator: Any,
    workdir: Any,
    arrays: Mapping[str, np.ndarray] | None = None,
    members: Sequence[Run] = (),
) -> None:
    """Writes a fitted estimator: an ordinary workdir, `estimator.json` and `estimator.npz`.

    The optimizer's moments, which a Run does not hold, start anew where the run is resumed.

    Args:
      estimator: fitted, with `run_`.
      workdir: a folder, local or `gs://`, that holds no run yet.
      arrays: what it has learned besides.
      members: further runs, each an ordinary workdir in `members/`, from number 1 on.

    Raises:
      WorkdirError: the folder holds a run, or cannot be written.
      ConfigError: the recipe holds Python objects without a config form.
    """
    run = estimator.run_
    path = storage.open_workdir(workdir)
    if (path / storage.CONFIG).exists():
        raise WorkdirError(f"the workdir '{workdir}' holds a run already; name another folder")
    require_config_form(run)
    _write_run(run, path)
    for number, member in enumerate(members, 1):
        _write_run(member, storage.open_workdir(path / MEMBERS / str(number)))
    with storage.writing(path / ARRAYS), (path / ARRAYS).open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays or {}))
    storage.write_json(path / FILE, {"version": 1, **described(estimator)})


def load(kind: type[T], workdir: Any) -> tuple[T, dict[str, np.ndarray]]:
    """An estimator as it was saved, but for what its arrays are needed for.

    Args:
      kind: the estimator's class.
      workdir: where it was saved.

    Returns:
      The estimator with `run_` set, and its arrays.

    Raises:
      MissingFileError: no estimator was saved there.
      WorkdirError: one of another class was.
    """
    path = storage.existing_workdir(workdir)
    stored = storage.read_json(path / FILE)
    storage.check_version(path / FILE, stored, 1)
    if stored["class"] != kind.__name__:
        raise WorkdirError(
            f"'{workdir}' holds an estimator of another class"
            f"{nearest(kind.__name__, [stored['class']])}"
        )
    run = load_run(path)
    params = stored["params"]
    if params["recipe"] is None:
        params |= {"recipe": Recipe.from_config(run.config), "arguments": None}
    estimator: Any = kind(**params)
    estimator.run_ = run
    for name, value in stored["fitted"].items():
        setattr(estimator, name, np.asarray(value, object) if isinstance(value, list) else value)
    with (path / ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return estimator, dict(arrays)


def load_members(workdir: Any, count: int) -> tuple[Run, ...]:
    """The further runs that `save` wrote, as many as this."""
    path = storage.existing_workdir(workdir) / MEMBERS
    return tuple(load_run(path / str(number)) for number in range(1, count + 1))


def described(estimator: Any) -> dict[str, Any]:
    """Class, parameters and fitted attributes as JSON, a Recipe as that of the config."""
    params = estimator.get_params(deep=False)
    if "anomaly_score" in params and not isinstance(params["anomaly_score"], str | Mapping):
        params["anomaly_score"] = params["anomaly_score"].node.to_dict()
    if not isinstance(params["random_state"], int):
        params["random_state"] = estimator.run_.config.training.seed
    try:
        json.dumps([params["recipe"], params["arguments"]])
    except TypeError:
        params |= {"recipe": None, "arguments": None}
    names = ("n_features_in_", "feature_names_in_")
    fitted = {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}
    return {"class": type(estimator).__name__, "params": params, "fitted": fitted}


def require_config_form(run: Run) -> None:
    """Raises ConfigError if a part of the run came as a Python object."""
    Recipe.from_config(run.config)


def run_to_plain(run: Run) -> dict[str, Any]:
    """A Run as plain values and arrays, for pickles and copies.

    Raises:
      ConfigError: the recipe holds Python objects without a config form.
    """
    require_config_form(run)
    return {
        "stored": _stored(run),
        "variables": tuple(jax.tree.map(np.asarray, run.variables)),
        "summary": run.summary,
    }


def run_of_plain(plain: Mapping[str, Any]) -> Run:
    """Inverse of `run_to_plain`."""
    stored = plain["stored"]
    config, spec = config_lib.complete(stored["config"]), spec_from_dict(stored["spec"])
    model, objective = Recipe.from_config(config).build(spec)
    return Run(
        with_compute_dtype(model, config.training.compute_dtype, spec),
        objective,
        Variables(*plain["variables"]),
        config,
        preprocessing.build(config.data.preprocessing),
        spec,
        tuple(stored["spec"]["data_shape"]),
        stored["num_train"],
        tuple(stored["display_range"]),
        plain["summary"],
    )


def _stored(run: Run) -> dict[str, Any]:
    """What config.json holds of a run."""
    return {
        "version": VERSION,
        "config": config_lib.to_plain(run.config),
        "spec": {**spec_to_dict(run.spec), "data_shape": list(run.data_shape)},
        "num_train": run.num_train,
        "display_range": list(run.display_range),
    }


def _write_run(run: Run, path: Any) -> None:
    from ae_jax.training.checkpoint import Checkpoints

    training, objective = run.config.training, run.objective
    if objective is None:
        raise ConfigError("this run's objective came as Python objects and cannot be saved")
    sizes = training.steps, training.batch_size
    optimizer = optimizer_from_config(run.config.optimizer, *sizes)
    players = single_player(objective, optimizer, run.variables)
    number: Any = np.int32
    state = TrainState(
        variables=run.variables,
        optimizer={p.name: p.optimizer.init(run.variables.params) for p in players},
        average={},
        root=jax.random.key_data(keys.root(training.seed)),
        step=number(training.steps),
        skipped=number(0),
        skipped_in_a_row=number(0),
    )
    storage.write_json(path / storage.CONFIG, _stored(run))
    storage.write_json(path / storage.SUMMARY, run.summary)
    with Checkpoints(path) as checkpoints:
        checkpoints.save(jax.tree.map(np.asarray, state), training.steps * training.batch_size)
        checkpoints.wait()
