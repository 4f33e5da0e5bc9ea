"""A trained model with all that its use needs: the same after `fit` and after `load`."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import config as config_lib
from ae_jax import evaluation, keys, registry
from ae_jax.data.dataset import Dataset, Split, check_array
from ae_jax.data.dataset import load as load_data
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.resident import resident
from ae_jax.errors import CheckpointError, ConfigError, PartError, ShapeError, require_positive_ints
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.recipe import Recipe, of_model
from ae_jax.training import parallel
from ae_jax.training.engine import evaluation_program
from ae_jax.types import Array, Batch, PRNGKey, Spec, Variables


class Run:
    """What `fit` and `load` return. Arrays in, NumPy out, in the data's own units.

    Attributes:
      model: the Autoencoder.
      objective: what it was trained on; None if it cannot be rebuilt from disk.
      variables: its Variables, NumPy.
      config: the complete config.
      preprocessing: between the data's units and the model's.
      spec: of one example.
      num_train: the size of the training set.
      display_range: the values, in the data's units, that figures show black and white.
      summary: the contents of summary.json; empty if the run never ended.
    """

    def __init__(
        self,
        model: Autoencoder,
        objective: Objective | None,
        variables: Variables,
        config: Mapping[str, Any],
        preprocessing: Preprocessing,
        spec: Spec,
        num_train: int,
        display_range: tuple[float, float],
        summary: Mapping[str, Any] | None = None,
    ):
        """Holds the parts; nothing is compiled until used."""
        self.model, self.objective, self.variables = model, objective, variables
        self.config, self.preprocessing, self.spec = config, preprocessing, spec
        self.num_train, self.display_range = num_train, display_range
        self.summary = dict(summary or {})
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def encode(self, x: Any, key: PRNGKey | None = None) -> np.ndarray:
        """The code of each example: the posterior mean, or a sample with a key.

        Args:
          x: `[n, *event]`, in the data's units.
          key: a typed key, e.g. `jax.random.key(0)`.

        Returns:
          float32 `[n, *latent]`.

        Raises:
          ShapeError: the examples have another shape than the training data's.
          DataError: they are empty or not finite.
        """
        x = self._checked(x)
        if key is None:
            return self._over("encode", self._encode_mean)(self.variables, x)
        shared = (self.variables, jax.random.key_data(key))
        return self._over("encode sample", self._encode_sample)(shared, x, _places(x))

    def decode(self, z: Any) -> np.ndarray:
        """The mean of p(x | z) for each code, in the data's units.

        Args:
          z: `[n, *latent]`.

        Returns:
          float32 `[n, *event]`.

        Raises:
          ShapeError: the codes have another shape than the bottleneck's.
        """
        z = np.asarray(z, np.float32)
        if z.shape[1:] != self.model.bottleneck.latent_shape:
            raise ShapeError(
                f"codes must be [n, {', '.join(map(str, self.model.bottleneck.latent_shape))}], "
                f"got {z.shape}"
            )
        return self._over("decode", self._decode)(self.variables, z)

    def reconstruct(self, x: Any) -> np.ndarray:
        """`decode(encode(x))`: deterministic, uncorrupted, in the data's units.

        Args:
          x: `[n, *event]`, in the data's units.

        Returns:
          float32 `[n, *event]`.
        """
        through = lambda variables, x: self._decode(variables, self._encode_mean(variables, x))
        return self._over("reconstruct", through)(self.variables, self._checked(x))

    def sample(self, num: int, seed: int = 0, observations: bool = False) -> np.ndarray:
        """New examples: z from the prior, then the mean of p(x | z).

        Args:
          num: how many.
          seed: the same seed gives the same examples on any number of devices.
          observations: draw x from p(x | z) in place of its mean.

        Returns:
          float32 `[num, *event]`, in the data's units.

        Raises:
          PartError: the model has no prior.
        """
        require_positive_ints(num=num)
        if not self.has_prior:
            raise PartError(
                "this model has no prior to sample from: it was built with a bottleneck without "
                "one (use ae.recipes.vae, or decode codes of your own)"
            )
        key = keys.stream(jax.random.key(seed), "sample")
        shared = (self.variables, jax.random.key_data(key))
        draw = functools.partial(self._sample, observations)
        return self._over(f"sample {observations}", draw)(shared, np.arange(num, dtype=np.uint32))

    def log_likelihood(self, x: Any, samples: int = 64, seed: int = 0) -> np.ndarray:
        """A lower bound on log p(x) of each example by importance sampling; see `ae.evaluation`.

        Args:
          x: `[n, *event]`, in the data's units.
          samples: k, honoured exactly.
          seed: of the samples.

        Returns:
          float32 `[n]`, nats, of the preprocessed x.
        """
        require_positive_ints(samples=samples)
        x = self._checked(x)

        def bound(shared, x, places):
            variables, key = shared[0], jax.random.wrap_key_data(shared[1])
            batch = Batch(self.preprocessing.apply(x))
            own = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places)
            return evaluation.log_likelihood(self.model, variables, batch, own, samples)

        key = keys.stream(jax.random.key(seed), "evaluation")
        shared = (self.variables, jax.random.key_data(key))
        return self._over(f"likelihood {samples}", bound)(shared, x, _places(x))

    def evaluate(self, data: Any = None) -> dict[str, float]:
        """The objective's terms and `ae.evaluation.evaluation_metrics`, means over a split.

        Args:
          data: `[n, *event]`; None: the test split of the run's own data source.

        Returns:
          Plain floats by name.

        Raises:
          ConfigError: the data came from memory, or the objective cannot be rebuilt.
        """
        if self.objective is None:
            raise ConfigError("this run's objective came as Python objects; pass it to ae.load")
        split = self.dataset().test if data is None else Split(self._checked(data))
        strategy = parallel.from_config(self._parallel())
        size = self.config["evaluation"]["batch_size"] or self.config["training"]["batch_size"]
        program = evaluation_program(
            self.model, self.objective, self.preprocessing, strategy, size, self.num_train
        )
        root = jax.random.key(self.config["training"]["seed"])
        step = np.int32(self.config["training"]["steps"])
        place = strategy.place
        values = program(place(self.variables), place(root), place(step), place(resident(split)))
        return {name: float(value) for name, value in parallel.fetch(values).items()}

    @property
    def has_prior(self) -> bool:
        """Whether `sample` and bounds on log p(x) are to be had."""
        return jax.eval_shape(self.model.prior, self.variables) is not None

    def dataset(self) -> Dataset:
        """The run's data, read again from its source.

        Raises:
          ConfigError: they were an array in memory.
        """
        section = self.config["data"]
        if section["source"] is None:
            raise ConfigError("this run was trained on an array in memory; pass the data")
        return load_data(section["source"], test_fraction=section["test_fraction"])

    def _parallel(self) -> dict[str, Any]:
        section = dict(self.config["parallel"])
        if section["devices"] is not None:  # the machine that loads may have fewer than trained
            section["devices"] = min(section["devices"], len(jax.devices()))
        return section

    def _checked(self, x: Any) -> np.ndarray:
        x = np.asarray(x)
        if x.shape[1:] != self.spec.event_shape:
            raise ShapeError(
                f"examples must be [n, {', '.join(map(str, self.spec.event_shape))}], got {x.shape}"
            )
        check_array(x)
        return x

    def _over(self, name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        if name not in self._compiled:
            devices = parallel.from_config(self._parallel()).devices
            size = self.config["evaluation"]["batch_size"] or self.config["training"]["batch_size"]
            self._compiled[name] = parallel.over_examples(fn, devices, size)
        return self._compiled[name]

    def _encode_mean(self, variables: Variables, x: Array) -> Array:
        return self.model.encode(variables, self.preprocessing.apply(x))

    def _encode_sample(self, shared: Any, x: Array, places: Array) -> Array:
        variables, key = shared[0], jax.random.wrap_key_data(shared[1])
        posterior = self.model.posterior(variables, self.preprocessing.apply(x))
        own = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places)
        return jax.vmap(lambda q, k: q.sample(k))(posterior, own)

    def _decode(self, variables: Variables, z: Array) -> Array:
        return self.preprocessing.invert(self.model.decode(variables, z))

    def _sample(self, observations: bool, shared: Any, places: Array) -> Array:
        variables, key = shared[0], jax.random.wrap_key_data(shared[1])
        prior: Any = self.model.prior(variables)
        params = variables.params.get("likelihood", {})

        def one(place):
            own = jax.random.fold_in(key, place)
            return prior.sample(jax.random.fold_in(own, 0)), jax.random.fold_in(own, 1)

        z, own = jax.vmap(one)(places)
        y = self.model.decode_parameters(variables, z)
        likelihood = self.model.likelihood
        if observations:
            x = jax.vmap(lambda y, k: likelihood.sample(params, y, k))(y, own)
        else:
            x = jax.vmap(lambda y: likelihood.mean(params, y))(y)
        return self.preprocessing.invert(x)


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
      step: of which checkpoint; None: the newest readable; "best": the lowest test loss.

    Returns:
      A Run.

    Raises:
      MissingFileError: this is not the workdir of a run.
      ConfigError: the run's parts cannot be rebuilt without `model`.
      CheckpointError: there is no checkpoint, or none can be read.
    """
    from ae_jax import storage
    from ae_jax.training.checkpoint import Checkpoints, variables_of

    path = storage.existing_workdir(workdir)
    stored = storage.read_config(path)
    config, spec = stored["config"], stored["spec"]
    spec = Spec(tuple(spec["event_shape"]), spec["kind"])
    recipe = (
        config_lib.recipe_of(config, need_objective=False) if model is None else as_recipe(model)
    )
    built, objective = recipe.build(spec)
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
    summary = path / storage.SUMMARY
    return Run(
        built,
        objective if objective.terms else None,
        variables_of(restored.tree),
        config,
        registry.PREPROCESSING.build(config["data"]["preprocessing"]),
        spec,
        stored["num_train"],
        tuple(stored["display_range"]),
        storage.read_json(summary) if summary.exists() else {},
    )


def as_recipe(model: Any) -> Recipe:
    """A Recipe from whatever `fit` is given.

    Raises:
      PartError: it is neither a recipe nor a `(model, objective)` pair.
    """
    if isinstance(model, Recipe):
        return model
    if isinstance(model, tuple) and len(model) == 2:
        built, objective = model
        if isinstance(built, Autoencoder) and isinstance(objective, Objective):
            return of_model(built, objective)
    raise PartError(
        "expected a recipe (ae.recipes.vae(…)) or a pair (model, objective), got "
        f"{type(model).__name__}: {model!r:.200}"
    )


def _places(x: np.ndarray) -> np.ndarray:
    return np.arange(len(x), dtype=np.uint32)
