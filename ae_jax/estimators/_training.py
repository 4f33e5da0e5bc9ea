"""From an estimator's parameters and a table to a Run."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import recipes
from ae_jax.data.inputs import from_arrays
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.evaluation import anomaly
from ae_jax.recipes import Recipe
from ae_jax.runs.fit import fit
from ae_jax.runs.run import Run
from ae_jax.types import Spec

LATENT_DIM = 8


def train(estimator: Any, x: np.ndarray, seed: int | None = None) -> Run:
    """A Run trained on all rows, each column standardised and under a Gaussian likelihood.

    Args:
      estimator: with `recipe`, `arguments`, `steps`, `batch_size`, `optimizer`, `random_state`.
      x: `[n, d]`, finite.
      seed: of the run; None: that of the estimator's `random_state`.

    Returns:
      A Run in the units of x.

    Raises:
      ConfigError: a parameter out of range.
      DataError: fewer rows than devices.
    """
    from sklearn.preprocessing import StandardScaler

    recipe = recipe_of(estimator.recipe, estimator.arguments)
    if estimator.optimizer is not None and not isinstance(estimator.optimizer, Mapping):
        raise ConfigError(
            "optimizer must be a mapping such as {'name': 'adam', 'learning_rate': 1e-3}, which "
            f"can be saved, got {estimator.optimizer!r:.200}"
        )
    require_fit(recipe, x.shape[1:], getattr(estimator, "anomaly_score", None))
    x = np.asarray(x, np.float64)
    scaler: Any = StandardScaler().fit(x)
    mean, std = scaler.mean_.tolist(), scaler.scale_.tolist()
    return fit(
        recipe,
        from_arrays(x, test_fraction=0.0)._replace(kind="real"),
        steps=estimator.steps,
        batch_size=fitting_batch(estimator.batch_size, len(x)),
        optimizer=estimator.optimizer,
        seed=seed_of(estimator.random_state) if seed is None else seed,
        preprocessing={"name": "standardise_on_host", "mean": mean, "std": std},
        progress=False,
    )


def require_fit(recipe: Recipe, shape: tuple[int, ...], score: Any) -> None:
    """Raises PartError, before anything is compiled, if a score does not fit a recipe."""
    if score is None:
        return
    spec = Spec(shape, "real")
    model, _ = recipe.build(spec)
    example = jax.ShapeDtypeStruct(shape, "f4")
    variables = jax.eval_shape(model.init, jax.random.key(0), example)
    anomaly.require_fit(model, variables, spec, anomaly.SCORES.build(score))


def recipe_of(recipe: Any, arguments: Mapping[str, Any] | None) -> Recipe:
    """The recipe itself, or the one of that name with these arguments.

    Args:
      recipe: a Recipe, or a name in `ae_jax.recipes`.
      arguments: of the named recipe; None: `{"latent_dim": 8}`.

    Raises:
      UnknownNameError: no recipe has this name.
      ConfigError: an argument that it does not take, or arguments for a finished recipe.

    Example:
      >>> recipe_of("vae", {"latent_dim": 2}).bottleneck.latent_shape
      (2,)
    """
    if isinstance(recipe, Recipe):
        if arguments is not None:
            raise ConfigError(f"arguments={arguments!r} are of a recipe's name, not of a Recipe")
        return recipe
    known = [name for name in recipes.__all__ if name != "Recipe"]
    if recipe not in known:
        raise UnknownNameError(f"no recipe is called {recipe!r}{nearest(recipe, known)}")
    given = {"latent_dim": LATENT_DIM} if arguments is None else dict(arguments)
    try:
        return getattr(recipes, recipe)(**given)
    except TypeError as error:
        raise ConfigError(f"recipe '{recipe}': {error}") from error


def fitting_batch(batch_size: int, rows: int) -> int:
    """The batch size, or as many rows as there are, in whole rows a device.

    Raises:
      DataError: fewer rows than devices.
    """
    devices = len(jax.devices())
    if rows < devices:
        raise DataError(f"{rows} rows are fewer than the {devices} devices that share a batch")
    return batch_size if batch_size <= rows else rows // devices * devices


def seed_of(random_state: Any) -> int:
    """The run's seed: the number itself, or one drawn as scikit-learn draws."""
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(2**31))
