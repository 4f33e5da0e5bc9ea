"""Every field of a config: type, default, meaning, bounds, and whether a resumed run may change it.

Files, the command line, `config.json` and the checks all derive from these classes. None stands for
"chosen" or "none" where a field does not say otherwise.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

VERSION = 1
CUSTOM = "custom"
"""Stands in config.json for a part that was passed as a Python object and has no config form."""

SMOKE = {"steps": 30, "log_every": 10, "eval_every": 20, "checkpoint_every": 20}
"""What the smoke variant of every config changes in its `training` section."""


class Bounds(NamedTuple):
    """What a field's number must obey.

    Attributes:
      least: the smallest whole number that is allowed, 0 or 1; None: any.
      between: the open interval of a fraction, and an example of one.
    """

    least: int | None = None
    between: tuple[float, float, float] | None = None


def option(
    default: Any,
    doc: str,
    *,
    least: int | None = None,
    between: tuple[float, float, float] | None = None,
    free: bool = False,
) -> Any:
    """A field of a section.

    Args:
      default: its value where none is given; a mutable one is copied for each config.
      doc: a noun phrase that says what it is.
      least: least value, see `Bounds`.
      between: open interval, see `Bounds`.
      free: whether a resumed run may change it.

    Returns:
      The dataclass field.
    """
    metadata = {"doc": doc, "bounds": Bounds(least, between), "free": free}
    if isinstance(default, list | dict) or dataclasses.is_dataclass(default):
        make = functools.partial(_copied, default)
        return dataclasses.field(default_factory=make, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _copied(default: Any) -> Any:
    return default if dataclasses.is_dataclass(default) else type(default)(default)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Where examples come from, and what is done to them before the model sees them."""

    source: str | None = option("digits", "Source, `KIND:PATH`; None: an array from memory")
    arguments: Any = option({}, "Arguments of the source")
    test_fraction: float | None = option(None, "Share of the data held out; None: the source's own")
    validation_fraction: float | None = option(None, "Share of training carved out for validation")
    preprocessing: Any = option(None, "Preprocessing node, or a list of them; None: from the data")
    engine: str = option("auto", "`resident`, `streaming`, or `auto`: by `resident_mib`", free=True)
    resident_mib: int = option(1024, "Budget of the resident engine, MiB", least=1, free=True)
    workers: int = option(0, "Processes that read ahead; 0: threads", least=0, free=True)
    spec: Any = option(
        {}, "What examples look like, where the data are not (`declared`)", free=True
    )
    stand_in: Any = option({}, "Fields of another data set, for the smoke variant", free=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """The row of parts, each a node `{"name": …, argument: value, …}`; None: from the data."""

    encoder: Any = option(None, "Network from x to the bottleneck's features")
    decoder: Any = option(None, "Network from z to the likelihood's parameters")
    bottleneck: Any = option(None, "Bottleneck, from features to z; must be given")
    likelihood: Any = option(None, "Likelihood p(x | z)")
    critics: Any = option({}, "Critics by name, each a node; their networks None: from the data")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How parameters move."""

    name: str = option("adam", "Optimizer of optax")
    learning_rate: float = option(1e-3, "Peak learning rate")
    base_batch_size: int | None = option(
        None, "Batch size that the rate is meant for, which grows in proportion", least=1
    )
    schedule: str = option("constant", "Schedule of the rate after warm-up")
    warmup_steps: int = option(0, "Steps of linear warm-up")
    restart: int | None = option(
        None,
        "Step from which warm-up and schedule begin anew, once a finished run goes on",
        free=True,
    )
    clip_norm: float | None = option(None, "Largest global norm of the gradients")
    arguments: Any = option({}, "Further arguments of the optimizer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """One run of optimizer steps."""

    seed: int = option(0, "Seed of parameters, noise and data order", least=0)
    steps: int = option(5000, "Optimizer steps in all; may only grow", least=1, free=True)
    batch_size: int = option(128, "Examples of the global batch", least=1)
    accumulation: int = option(
        1, "Microbatches that a step's gradients are averaged over", least=1, free=True
    )
    compute_dtype: str = option("float32", "Dtype of the networks, `float32` or `bfloat16`")
    average_decay: float | None = option(
        None,
        "Decay of the running average of parameters that is evaluated and used",
        between=(0, 1, 0.999),
    )
    steps_per_dispatch: int | None = option(
        None,
        "Most steps a dispatch; None: half a second's or four, within five seconds",
        least=1,
        free=True,
    )
    log_every: int = option(100, "Steps between log points", least=1, free=True)
    eval_every: int = option(1000, "Steps between evaluations", least=1, free=True)
    checkpoint_every: int = option(1000, "Steps between checkpoints", least=1, free=True)
    keep_checkpoints: int = option(2, "Checkpoints kept", least=1, free=True)
    max_skipped_in_a_row: int = option(
        20, "Steps not finite in a row after which the run stops", least=1, free=True
    )
    deterministic: bool = option(False, "Deterministic kernels on GPUs", free=True)
    init_from: str | None = option(None, "Workdir of a run to start from", free=True)
    init_parts: list[str] = option([], "Parts taken from there; none given: all", free=True)
    accept_new_data: bool = option(
        False, "Whether a resumed run may go on with other data than it began with", free=True
    )


class TrainingOptions(TypedDict, total=False):
    """The fields of `Training` that `fit` does not name itself, for editors and type checkers."""

    accumulation: int
    compute_dtype: str
    average_decay: float | None
    steps_per_dispatch: int | None
    log_every: int
    eval_every: int
    checkpoint_every: int
    keep_checkpoints: int
    max_skipped_in_a_row: int
    deterministic: bool
    init_from: str | None
    init_parts: list[str]
    accept_new_data: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mesh:
    """The axes of the mesh of the strategy `fsdp`; None: what is left of the devices."""

    data: int | None = option(None, "Devices that the batch is split over", least=1)
    fsdp: int | None = option(None, "Devices that parameters are split over", least=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parallel:
    """How devices share the work; a resumed run may change all of it."""

    strategy: str = option("pmap", "Strategy, `pmap`, `shard_map` or `fsdp`")
    devices: int | None = option(None, "Number of devices; None: all", least=1)
    mesh: Mesh = option(Mesh(), "Mesh of the strategy `fsdp`")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is computed and drawn without training; a resumed run may change all of it."""

    batch_size: int | None = option(None, "Examples at once; None: a microbatch's", least=1)
    images: int = option(16, "Examples shown in figures; 0: none is drawn", least=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pod:
    """What `ae-jax pods` alone compiles for."""

    batch_per_chip: int | None = option(
        None, "Examples a step on each chip; None: `training.batch_size`", least=1
    )
    strategies: list[str] = option(["pmap"], "Strategies compiled one after the other")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole config: sections, the weights of the objective's terms, and a corruption node."""

    data: Data = option(Data(), "Data")
    model: Model = option(Model(), "Model")
    objective: Any = option({}, "Terms and their weights")
    players: Any = option({}, "Players of a game by name, beside the model's own")
    corruption: Any = option(None, "Corruption node; None: the encoder sees x itself")
    optimizer: Optimizer = option(Optimizer(), "Optimizer")
    training: Training = option(Training(), "Training")
    parallel: Parallel = option(Parallel(), "Parallel", free=True)
    evaluation: Evaluation = option(Evaluation(), "Evaluation", free=True)
    pod: Pod = option(Pod(), "Pod", free=True)


ConfigLike = Mapping[str, Any] | Config
"""A config as it is given: nested mappings, of which `ae_jax.config.complete` makes a `Config`."""


class Field(NamedTuple):
    """What is known of one field.

    Attributes:
      name: as configs spell it.
      type: type of its values; of a nested section, its class.
      optional: whether None is a value too.
      default: a fresh copy.
      doc: what it is.
      bounds: bounds of its number.
      free: whether a resumed run may change it.
    """

    name: str
    type: Any
    optional: bool
    default: Any
    doc: str
    bounds: Bounds
    free: bool

    @property
    def is_section(self) -> bool:
        """Whether it is a section of fields rather than a value."""
        return dataclasses.is_dataclass(self.type)

    @property
    def is_open(self) -> bool:
        """Whether any plain value may stand here."""
        return self.type is Any


@functools.cache
def fields_of(section_class: type) -> Mapping[str, Field]:
    """The fields of a section by name, in their order."""
    hints = typing.get_type_hints(section_class)
    return {f.name: _field(f, hints[f.name]) for f in dataclasses.fields(section_class)}


def _field(f: dataclasses.Field, hint: Any) -> Field:
    optional = isinstance(hint, types.UnionType)
    if optional:
        (hint,) = (arm for arm in typing.get_args(hint) if arm is not types.NoneType)
    kind = typing.get_origin(hint) or hint
    factory = f.default_factory
    default = f.default if factory is dataclasses.MISSING else factory()
    return Field(f.name, kind, optional, default, **f.metadata)
