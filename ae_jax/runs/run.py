"""A trained model with all that its use needs: the same after `fit` and after `load`."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from ae_jax import config as config_lib
from ae_jax import evaluation, keys
from ae_jax.checks import require_positive_ints
from ae_jax.config.sections import Config, Mesh
from ae_jax.data import conditions, given, matching
from ae_jax.data.dataset import Dataset, of_section
from ae_jax.data.inputs import checked_input
from ae_jax.data.intake import take_in_records
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.source import Arrays, Records, Source, readable, sampled
from ae_jax.data.spec import display_range
from ae_jax.errors import ConfigError, PartError, ShapeError
from ae_jax.evaluation.rates import require_bound
from ae_jax.evaluation.usage import require_gaussians
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.precision import compiled_in_float32
from ae_jax.runs import integers
from ae_jax.runs.functions import Functions
from ae_jax.training.feeds import choose_engine, evaluation_program, evaluator
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.strategy import Strategy
from ae_jax.training.plan import Plan
from ae_jax.types import PRNGKey, Shape, Spec, Variables


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What `fit` and `load` return. Arrays in, NumPy out, in the data's own units.

    Attributes:
      model: the Autoencoder.
      objective: what it was trained on; None if it cannot be rebuilt from disk.
      variables: its Variables, NumPy.
      config: the complete config.
      preprocessing: between the data's units and the model's.
      spec: of one example.
      data_shape: of one example before preprocessing.
      num_train: the size of the training set.
      display_range: the values, in the data's units, that figures show black and white.
      summary: the contents of summary.json; empty if the run never ended.
      workdir: where it is kept, an `etils.epath.Path`; None: nowhere.
    """

    model: Autoencoder
    objective: Objective | None
    variables: Variables
    config: Config
    preprocessing: Preprocessing
    spec: Spec
    data_shape: Shape
    num_train: int
    display_range: tuple[float, float]
    summary: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    workdir: Any = None
    _programs: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of_plan(cls, plan: Plan, workdir: Any = None) -> "Run":
        """The run of a plan before it is trained: its variables are empty."""
        train = plan.dataset.train
        return cls(
            plan.model,
            plan.objective,
            Variables({}, {}),
            plan.config,
            plan.preprocessing,
            plan.spec,
            tuple(train.spec.x.shape),
            len(train),
            display_range(plan.dataset),
            workdir=None if workdir is None else epath.Path(workdir).expanduser(),
        )

    def holding(self, variables: Variables, summary: Mapping[str, Any] | None = None) -> "Run":
        """The same run with other variables; what has been compiled for one serves both.

        Args:
          variables: of the same shapes.
          summary: in place of this run's; None: the same.

        Returns:
          A Run.
        """
        summary = self.summary if summary is None else summary
        run = dataclasses.replace(self, variables=variables, summary=summary)
        object.__setattr__(run, "_programs", self._programs)
        return run

    def sharing(self, other: "Run") -> "Run":
        """The same run with the compiled programs of another one, whatever either compiles next.

        Args:
          other: a Run of equal model, preprocessing, spec and parallel section; only variables,
            objective and what concerns training may differ.

        Returns:
          A Run.
        """
        run = dataclasses.replace(self)
        object.__setattr__(run, "_programs", other._programs)
        return run

    @property
    def functions(self) -> Functions:
        """What it computes of a batch, to be traced."""
        return Functions(self.model, self.preprocessing, self.spec)

    @compiled_in_float32()
    def encode(
        self,
        x: Any,
        key: PRNGKey | None = None,
        *,
        observed: Any = None,
        extras: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """The code of each example: the posterior mean, or a sample with a key.

        Args:
          x: `[n, *event]`, in the data's units: an array, a masked one, a pair `(x, extras)`, a
            source, or a table with named columns, which are put into the order of training.
          key: a typed key, e.g. `jax.random.key(0)`.
          observed: bool, of x's shape, False where an entry is missing; None: none is but what x
            itself says.
          extras: conditions (a label of -1 is none), lengths, each `[n, …]`, for a model that
            takes them.

        Returns:
          float32 `[n, *latent]`.

        Raises:
          ShapeError: the examples have another shape than the training data's.
          DataError: they are empty or not finite, columns are missing, or a label is no class.
        """
        records = self.records(x, observed=observed, extras=extras)
        if key is None:
            return self.over_examples("encode", self.functions.encode)(self.variables, records)
        shared = (self.variables, jax.random.key_data(key))
        sample = self.over_examples("encode sample", self.functions.encode_sample)
        return sample(shared, records, _places(records.x))

    @compiled_in_float32()
    def decode(self, z: Any, *, extras: Mapping[str, Any] | None = None) -> np.ndarray:
        """The mean of p(x | z) for each code, in the data's units.

        An autoregressive decoder is read greedily: each position given the most probable tokens (of
        a series: the locations) found before it. Behind the end of a sequence stands padding, 0.

        Args:
          z: `[n, *latent]`.
          extras: conditions, each `[n, …]`, for a model that takes them.

        Returns:
          float32 `[n, *event]`; float64 where the data are centred on the host.

        Raises:
          ShapeError: the codes have another shape than the bottleneck's.
        """
        z = np.asarray(z, np.float32)
        if z.shape[1:] != self.model.bottleneck.latent_shape:
            raise ShapeError(
                f"codes must be [n, {', '.join(map(str, self.model.bottleneck.latent_shape))}], "
                f"got {z.shape}"
            )
        decode = self.over_examples("decode", self.functions.decode, in_units=True)
        return decode(self.variables, z, self._fields(extras, len(z)))

    @compiled_in_float32()
    def codes(
        self, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """The integers of each example's quantised code; `decode_codes` is the way back.

        Args:
          x: `[n, *event]`, in the data's units, as for `encode`.
          observed: see `encode`.
          extras: see `encode`.

        Returns:
          int32 `[n, *model.bottleneck.codes.shape]`: one a position, or of residual and grouped
          quantisers one a position and level or group, from 0 to `codes.size - 1`.

        Raises:
          PartError: the bottleneck does not quantise.

        Example:
          >>> import ae_jax as ae
          >>> recipe = ae.recipes.fsq_vae((4, 3), levels=4)
          >>> run = ae.fit(recipe, "digits", steps=2, progress=False)
          >>> numbers = run.codes(run.dataset().test)
          >>> numbers.shape, run.decode_codes(numbers).shape
          ((364, 4), (364, 8, 8, 1))
          >>> run.code_use().size
          64
        """
        integers.codes_of(self)
        records = self.records(x, observed=observed, extras=extras)
        numbers = functools.partial(integers.numbers, self.functions)
        return self.over_examples("codes", numbers)(self.variables, records)

    @compiled_in_float32()
    def decode_codes(self, numbers: Any, *, extras: Mapping[str, Any] | None = None) -> np.ndarray:
        """The mean of p(x | z) for the codes that integers stand for, in the data's units.

        `decode_codes(codes(x))` is `reconstruct(x)`.

        Args:
          numbers: integers `[n, *model.bottleneck.codes.shape]`, as `codes` gives them; of a
            residual quantiser the first levels alone will do.
          extras: conditions, each `[n, …]`, for a model that takes them.

        Returns:
          As `decode`.

        Raises:
          PartError: the bottleneck does not quantise.
          ShapeError: integers of another shape.
          DataError: no integers, or out of range.
        """
        numbers = integers.checked(self, numbers)
        decode = functools.partial(integers.decoded, self.functions)
        run = self.over_examples(("decode codes", numbers.shape[1:]), decode, in_units=True)
        return run(self.variables, numbers, self._fields(extras, len(numbers)))

    def code_use(self, data: Any = None) -> evaluation.CodeUse:
        """How many codes are in use and their perplexity; see `ae.evaluation.code_use`.

        Args:
          data: `[n, *event]`, a source such as `ae.data.load(…).test`, or None: the test split of
            the run's own data source. Every example counts.

        Returns:
          A CodeUse, the same integers on any number of devices.

        Raises:
          PartError: the bottleneck does not quantise.
          ConfigError: the data came from memory.
        """
        integers.codes_of(self)
        return integers.use(self, self.split(data, parts=("encoder",)))

    @compiled_in_float32()
    def reconstruct(
        self,
        x: Any,
        *,
        mask: Any = None,
        observed: Any = None,
        extras: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """`decode(encode(x))`: deterministic, uncorrupted, in the data's units.

        An autoregressive decoder is not told x but reads its own guesses, as in `decode`.

        Args:
          x: `[n, *event]`, in the data's units.
          mask: bool, True for what is hidden from the model and filled in by it, all else staying
            as it is: of the shape of an example or of its grid of patches, with or without n before
            it; or the seed of masks of the run's own corruption. For models trained so, by
            `ae.recipes.masked_autoencoder`, say. None: nothing is hidden.
          observed: see `encode`; missing entries are filled in.
          extras: see `encode`.

        Returns:
          float32 `[n, *event]`; float64 where the data are centred on the host.

        Raises:
          PartError: a mask for a model whose corruption hides nothing.
          ShapeError: examples, or a mask, of another shape.
          DataError: a mask that is not bool, hides all of an example, or part of a patch.
        """
        records = self.records(x, observed=observed, extras=extras)
        if mask is not None:
            return evaluation.filled(self, records, mask)
        again = self.over_examples("reconstruct", self.functions.reconstruct, in_units=True)
        return again(self.variables, records)

    def denoise(
        self, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """What the model makes of examples that are noisy already: `reconstruct` by its other name.

        Nothing is corrupted further. A model of `ae.recipes.denoising`, trained on such noise,
        does best; `ae.evaluation.denoise` measures it beside what one would use otherwise.

        Args:
          x: noisy examples `[n, *event]`, in the data's units.
          observed: see `encode`; missing entries are filled in.
          extras: see `encode`.

        Returns:
          float32 `[n, *event]`; float64 where the data are centred on the host.

        Example:
          >>> import ae_jax as ae
          >>> run = ae.fit(ae.recipes.denoising(8), "digits", steps=2, progress=False)
          >>> run.denoise(run.dataset().test.x[:3]).shape
          (3, 8, 8, 1)
        """
        return self.reconstruct(x, observed=observed, extras=extras)

    @compiled_in_float32()
    def sample(
        self,
        num: int,
        seed: int = 0,
        observations: bool = False,
        *,
        extras: Mapping[str, Any] | None = None,
        sampler: Any = None,
    ) -> np.ndarray:
        """New examples: z from the prior or a sampler, then the mean of p(x | z) or a draw from it.

        Of an autoregressive decoder, `observations` are ancestral samples: each position is drawn
        from p(x_t | x_<t, z) given those drawn before it. Without, each is the mean given the means
        before it, as in `decode`: a greedy reading, of less variety than the data's.

        Args:
          num: how many.
          seed: below 2³²; the same gives the same examples on any number of devices.
          observations: draw x from p(x | z) in place of its mean.
          extras: conditions, each `[num, …]`, for a model or sampler that takes them.
          sampler: what `ae.samplers.fit` or `load` returned, to draw z from; None: the prior.

        Returns:
          float32 `[num, *event]`, in the data's units; float64 where the data are centred on the
          host.

        Raises:
          PartError: the model has no prior and there is no sampler, or it is none.
        """
        require_positive_ints(num=num)
        key = keys.stream(keys.root(seed), "sample")
        shared = (self.variables, jax.random.key_data(key))
        if sampler is not None:
            z = self._codes(sampler, num, seed, extras)
            if not observations:
                return self.decode(z, extras=extras)
            observe = self.over_examples("observe", self.functions.observe_at, in_units=True)
            return observe(shared, _places(z), z, self._fields(extras, num))
        self._require_prior()
        draw = self.functions.observe if observations else self.functions.sample
        sample = self.over_examples(f"sample {observations}", draw, in_units=True)
        places = np.arange(num, dtype=np.uint32)
        return sample(shared, places, self._fields(extras, num))

    @compiled_in_float32()
    def sample_codes(
        self,
        num: int,
        seed: int = 0,
        *,
        extras: Mapping[str, Any] | None = None,
        sampler: Any = None,
    ) -> np.ndarray:
        """New codes, from the prior or a sampler: those that `sample` of the same seed decodes.

        Args:
          num: how many.
          seed: below 2³².
          extras: conditions, each `[num, …]`, for a prior or sampler that takes them.
          sampler: what `ae.samplers.fit` or `load` returned; None: the prior.

        Returns:
          float32 `[num, *latent]`.

        Raises:
          PartError: the model has no prior and there is no sampler, or it is none.

        Example:
          >>> import ae_jax as ae
          >>> run = ae.fit(ae.recipes.vae(2), "digits", steps=2, progress=False)
          >>> z = run.sample_codes(5, seed=1)
          >>> z.shape, bool((run.decode(z) == run.sample(5, seed=1)).all())
          ((5, 2), True)
        """
        require_positive_ints(num=num)
        if sampler is not None:
            return self._codes(sampler, num, seed, extras)
        self._require_prior()
        shared = (self.variables, jax.random.key_data(keys.stream(keys.root(seed), "sample")))
        draw = self.over_examples("sample codes", self.functions.sample_codes)
        return draw(shared, np.arange(num, dtype=np.uint32), self._fields(extras, num))

    @compiled_in_float32()
    def log_likelihood(
        self,
        x: Any,
        samples: int = 64,
        seed: int = 0,
        *,
        observed: Any = None,
        extras: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """A lower bound on log p(x) of each example by importance sampling; see `ae.evaluation`.

        Args:
          x: `[n, *event]`, in the data's units.
          samples: k, honoured exactly.
          seed: of the samples, and of a random binarisation.
          observed: see `encode`; the bound is on the observed entries alone.
          extras: see `encode`.

        Returns:
          float32 `[n]`, nats, of the preprocessed x.

        Raises:
          PartError: log p(x) has no bound; see `ae.evaluation.has_bound`.
        """
        require_positive_ints(samples=samples)
        require_bound(self)
        records = self.records(x, observed=observed, extras=extras)
        key = keys.stream(keys.root(seed), "evaluation")
        shared = (self.variables, jax.random.key_data(key))
        bound = functools.partial(self.functions.log_likelihood, samples)
        bounds = self.over_examples(f"likelihood {samples}", bound)
        return bounds(shared, records, _places(records.x))

    @compiled_in_float32()
    def evaluate(self, data: Any = None) -> dict[str, float]:
        """The objective's terms and `ae.evaluation.evaluation_metrics`, means over a split.

        Args:
          data: `[n, *event]`, a pair `(x, extras)`, a source such as `ae.data.load(…).test`, whose
            columns are put into the order of training, or None: the test split of the run's own
            data source.

        Returns:
          Plain floats by name.

        Raises:
          ConfigError: the data came from memory, or the objective cannot be rebuilt.
        """
        if self.objective is None:
            raise ConfigError("this run's objective came as Python objects; pass it to ae.load")
        split = self.split(data)
        strategy, section = self._strategy(jax.devices()), self.config.data
        engine = choose_engine(section.engine, {"": split}, section.resident_mib * 2**20)
        name = "evaluate", id(self.objective), engine, strategy.name, strategy.mesh
        if name not in self._programs:
            parts = self.model, self.objective, self.preprocessing
            own = parts, self.config, self.num_train, strategy, engine
            self._programs[name] = evaluation_program(*own)
        how, host = (self.config, strategy), self.preprocessing.host
        run = evaluator(self._programs[name], *how, split, engine, host)
        root = jax.random.key(self.config.training.seed)
        step = np.int32(self.config.training.steps)
        place = strategy.place
        return run(strategy.place_state(self.variables), place(root), place(step))

    @compiled_in_float32()
    def latent_usage(self, data: Any = None) -> evaluation.Usage:
        """Active units, KL by dimension and mutual information; see `ae.evaluation.latent_usage`.

        Args:
          data: `[n, *event]`, a source such as `ae.data.load(…).test`, or None: the test split of
            the run's own data source. Of many examples, a fixed choice of 8,192 is taken.

        Returns:
          A Usage.

        Raises:
          ConfigError: the data came from memory.
          PartError: posterior or prior is no diagonal Gaussian.
        """
        prior = self.model.prior(self.variables)
        # Before any is computed: a flow's posterior holds the flow, for every example.
        require_gaussians(self.functions.shape_of_posterior(self.variables), prior)
        split = self.split(data, parts=("encoder",))
        records = readable(sampled(split).records)
        posterior = self.over_examples("posterior", self.functions.posterior)(
            self.variables, records
        )
        return evaluation.latent_usage(posterior, prior)

    def over_examples(
        self, name: Hashable, fn: Callable[..., Any], *, in_units: bool = False
    ) -> Callable[..., Any]:
        """A function of a batch made to take any number of examples, spread over the devices.

        Args:
          name: of the function among this run's; the first of a name is compiled, once.
          fn: `(shared, *per_example) -> tree of [b, …]`, pure, e.g. of `Run.functions`.
          in_units: whether fn gives x as `Functions.in_units` does, for the host to do the rest.

        Returns:
          `(shared, *per_example) -> tree of NumPy [n, …]`. Records among the arguments are given in
          the data's units.

        Example:
          >>> import ae_jax as ae, jax.numpy as jnp
          >>> run = ae.fit(ae.recipes.autoencoder(2), "digits", steps=2, progress=False)
          >>> length = run.over_examples("length", lambda _, z: jnp.linalg.norm(z, axis=-1))
          >>> length(run.variables, run.encode(run.dataset().test)).ndim
          1
        """
        if name not in self._programs:
            strategy = self._strategy(jax.local_devices())
            size = config_lib.evaluation_batch_size(self.config)
            self._programs[name] = parallel.over_examples(fn, strategy, size)
        program, host = self._programs[name], self.preprocessing.host
        taken_in = lambda row: take_in_records(row, host) if isinstance(row, Records) else row

        def call(shared, *rows):
            result = program(shared, *map(taken_in, rows))
            return host.invert(result) if in_units and host is not None else result

        return call

    @property
    def has_encoder(self) -> bool:
        """Whether examples have codes: a GAN only makes new ones, by `sample`."""
        return self.model.encoder is not None

    @property
    def has_bound(self) -> bool:
        """Whether bounds on log p(x) are to be had; see `ae.evaluation.has_bound`."""
        return evaluation.has_bound(self.model, self.variables, self.spec)

    @property
    def has_prior(self) -> bool:
        """Whether `sample` has codes to draw without a sampler."""
        return jax.eval_shape(self.model.prior, self.variables) is not None

    def dataset(self) -> Dataset:
        """The run's data, read again from its source, columns in the order of training.

        Raises:
          ConfigError: they were an array in memory.
        """
        section = self.config.data
        if section.source is None:
            raise ConfigError("this run was trained on an array in memory; pass the data")
        dataset = of_section(section)
        in_order = {n: matching.matched(s, self.spec.columns) for n, s in dataset.splits.items()}
        return dataset._replace(**in_order)

    def records(
        self, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
    ) -> Records:
        """Examples as `over_examples` takes them: looked at, columns in the order of training.

        Args:
          x: `[n, *event]`, in the data's units, as for `encode`.
          observed: see `encode`.
          extras: see `encode`.

        Returns:
          Records of NumPy arrays `[n, …]`, still in the data's units.

        Raises:
          ShapeError: the examples have another shape than the training data's.
          DataError: they are empty or not finite, columns are missing, or a label is no class.

        Example:
          >>> import ae_jax as ae
          >>> run = ae.fit(ae.recipes.autoencoder(2), "digits", steps=2, progress=False)
          >>> run.records(run.dataset().test.x[:3]).x.shape
          (3, 8, 8, 1)
        """
        records = checked_input(x, observed, extras, self.spec.columns, self.data_shape)
        conditions.require_values(conditions.of_model(self.model), records.extras, "the input")
        return records

    def split(self, data: Any = None, parts: tuple[str, ...] = conditions.EVERY) -> Source:
        """A split to be evaluated, columns in the order and conditions in the range of training's.

        Args:
          data: `[n, *event]`, a pair `(x, extras)`, a source such as `ae.data.load(…).test`, or
            None: the test split of the run's own data source.
          parts: names of the parts that will see it, whose conditions it must hold.

        Returns:
          A Source; `ae.data.source.pieces` reads it some thousands of examples at a time.

        Raises:
          ConfigError: the data came from memory.
          ShapeError: the examples have another shape than the training data's.
          DataError: they are empty or not finite, or columns or conditions are missing.

        Example:
          >>> import ae_jax as ae
          >>> run = ae.fit(ae.recipes.autoencoder(2), "digits", steps=2, progress=False)
          >>> len(run.split())
          364
        """
        data = self.dataset().test if data is None else data
        if not hasattr(data, "read"):
            return Arrays(*self.records(data))
        data = matching.matched(data, self.spec.columns)
        matching.require_shape((len(data), *data.spec.x.shape), self.data_shape)
        wanted = conditions.of_model(self.model)
        return conditions.guarded(data, tuple(c for c in wanted if c.part in parts), "the data")

    def _require_prior(self) -> None:
        if not self.has_prior:
            raise PartError(
                "this model has no prior to sample from: fit a sampler of its codes, "
                "run.sample(num, sampler=ae.samplers.fit(run, data, 'gaussian_mixture'))"
            )

    def _strategy(self, devices: Sequence[Any]) -> Strategy:
        """That of the run on these devices, which may be fewer than trained it."""
        section = self.config.parallel
        wanted = None if section.devices is None else min(section.devices, len(devices))
        section = dataclasses.replace(section, mesh=Mesh(), devices=wanted)
        return parallel.from_config(section, devices)

    def _codes(
        self, sampler: Any, num: int, seed: int, extras: Mapping[str, Any] | None
    ) -> np.ndarray:
        """What a sampler draws, as z: integers stand for the codes that they number."""
        if not hasattr(sampler, "sample"):
            raise PartError(
                "sampler must be what ae.samplers.fit or ae.samplers.load(run, name) returns, got "
                f"{sampler!r:.200}"
            )
        drawn = sampler.sample(num, seed, extras=extras)
        if not np.issubdtype(drawn.dtype, np.integer):
            return drawn
        latents = functools.partial(integers.latents, self.model.bottleneck)
        return self.over_examples("latents", latents)(self.variables, integers.checked(self, drawn))

    def _fields(self, extras: Mapping[str, Any] | None, num: int) -> dict[str, np.ndarray]:
        fields = given.extras(extras, num, "input")
        conditions.require_values(conditions.of_model(self.model), fields, "the input")
        return fields


def _places(x: np.ndarray) -> np.ndarray:
    return np.arange(len(x), dtype=np.uint32)
