"""A trained model with all that its use needs: the same after `fit` and after `load`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath

from ae_jax import evaluation
from ae_jax.config.sections import Config
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.spec import display_range
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.runs import coding, inputs, integers, measures, sampling, spread
from ae_jax.runs.functions import Functions
from ae_jax.training.plan import Plan
from ae_jax.types import Shape, Spec, Variables


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What `fit` and `load` return. Arrays in, NumPy out, in the data's own units.

    Its methods are functions of a run, one module a subject.

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

    dataset = inputs.dataset
    records = inputs.records
    split = inputs.split
    over_examples = spread.over_examples

    encode = coding.encode
    decode = coding.decode
    reconstruct = coding.reconstruct
    denoise = coding.denoise
    codes = integers.codes
    decode_codes = integers.decode_codes
    code_use = integers.code_use

    sample = sampling.sample
    sample_codes = sampling.sample_codes

    log_likelihood = measures.log_likelihood
    evaluate = measures.evaluate
    latent_usage = measures.latent_usage

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
