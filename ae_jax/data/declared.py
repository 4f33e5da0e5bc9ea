"""Data that are declared and not there: what a program for a pod is compiled from."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax.checks import require_positive_ints
from ae_jax.data.source import Records, Source
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest

WHERE = "data.spec"


class Declaration(NamedTuple):
    """A config's `data.spec`, checked.

    Attributes:
      shape: shape of one example, in the data's own units.
      dtype: dtype of its values.
      num_train: how many examples there are to learn from.
      num_test: how many to evaluate on.
      kind: kind of the values, a key of `ae_jax.recipes.defaults.KINDS`.
      num_classes: number of classes of tokens.
      extras: shape and dtype of each.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    num_train: int
    num_test: int = 0
    kind: str = "real"
    num_classes: int | None = None
    extras: Mapping[str, jax.ShapeDtypeStruct] = {}

    @property
    def splits(self) -> "tuple[Declared, Declared]":
        """Training and test split."""
        x = jax.ShapeDtypeStruct(self.shape, self.dtype)
        records = Records(x, dict(self.extras))
        return Declared(records, self.num_train), Declared(records, self.num_test)


@dataclasses.dataclass(frozen=True, eq=False)
class Declared:
    """A source of which only spec and length are known.

    Attributes:
      spec: spec, see `Source`.
      count: how many examples there are said to be.
    """

    spec: Records
    count: int

    def __len__(self) -> int:
        """How many examples there are said to be."""
        return self.count

    def read(self, index: np.ndarray) -> Records:
        """Raises DataError: there is nothing to read."""
        raise DataError(
            f"{len(index)} examples are wanted of data that {WHERE} only declares: what is chosen "
            "from values, such as data.preprocessing, must be set in the config"
        )


def declaration(spec: Mapping[str, Any]) -> Declaration:
    """What a config's `data.spec` declares.

    Args:
      spec: `{"shape": (224, 224, 3), "dtype": "uint8", "num_train": 1_281_167, "extras": {"label":
        {"shape": (), "dtype": "int32"}}}`; other fields as those of `Declaration`.

    Returns:
      A Declaration.

    Raises:
      UnknownNameError: a field that there is not; the nearest is named.
      ConfigError: a field that is missing or no such value.
    """
    for field in spec:
        if field not in Declaration._fields:
            hint = nearest(field, Declaration._fields)
            raise UnknownNameError(f"{WHERE} has no field '{field}'{hint}")
    missing = {"shape", "dtype", "num_train"} - set(spec)
    if missing:
        raise ConfigError(f"{WHERE} must say {', '.join(sorted(missing))}, got {dict(spec)}")
    extras = spec.get("extras", {})
    if not isinstance(extras, Mapping):
        raise ConfigError(f"{WHERE}.extras is a section, got {extras!r}")
    declared = Declaration(**dict(spec))
    require_positive_ints(**{f"{WHERE}.num_train": declared.num_train})
    if declared.num_test:
        require_positive_ints(**{f"{WHERE}.num_test": declared.num_test})
    x = _array(WHERE, {"shape": declared.shape, "dtype": declared.dtype})
    return declared._replace(
        shape=x.shape,
        dtype=x.dtype,
        extras={name: _array(f"{WHERE}.extras.{name}", value) for name, value in extras.items()},
    )


def check_declared(source: Source, spec: Mapping[str, Any]) -> None:
    """Holds a source that is there against what `data.spec` declares.

    Raises:
      DataError: its examples, or a declared extra, have another shape or dtype.
    """
    wanted, read = declaration(spec), source.spec
    pairs = {"examples": (jax.ShapeDtypeStruct(wanted.shape, wanted.dtype), read.x)}
    for name, extra in wanted.extras.items():
        pairs[f"'{name}'"] = (extra, read.extras.get(name))
    for name, (expected, got) in pairs.items():
        if got is None or (got.shape, got.dtype) != (expected.shape, expected.dtype):
            said = "none" if got is None else f"{got.dtype} {tuple(got.shape)}"
            raise DataError(
                f"{WHERE} declares {name} of {expected.dtype} {tuple(expected.shape)}, but the "
                f"data have {said}"
            )


def _array(where: str, value: Any) -> jax.ShapeDtypeStruct:
    if not isinstance(value, Mapping) or set(value) != {"shape", "dtype"}:
        raise ConfigError(f"{where} must have a shape and a dtype, got {value!r}")
    shape, dtype = value["shape"], value["dtype"]
    if not isinstance(shape, list | tuple):
        raise ConfigError(f"{where}.shape must be a row of whole numbers, got {shape!r}")
    for side in shape:
        require_positive_ints(**{f"{where}.shape": side})
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "biuf":
        raise ConfigError(f"{where}.dtype must be that of a number, e.g. 'uint8', got {dtype!r}")
    return jax.ShapeDtypeStruct(tuple(shape), kind)
