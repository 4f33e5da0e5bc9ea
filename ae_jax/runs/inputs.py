"""What a run is given, looked at: its own data, examples, splits, extras.

Methods of `Run` but for `fields` and `places`: a run is their first argument.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ae_jax.data import conditions, given, matching
from ae_jax.data.dataset import Dataset, of_section
from ae_jax.data.inputs import checked_input
from ae_jax.data.source import Arrays, Records, Source
from ae_jax.errors import ConfigError


def dataset(run: Any) -> Dataset:
    """The run's data, read again from its source, columns in the order of training.

    Raises:
      ConfigError: they were an array in memory.
    """
    section = run.config.data
    if section.source is None:
        raise ConfigError("this run was trained on an array in memory; pass the data")
    data = of_section(section)
    in_order = {n: matching.matched(s, run.spec.columns) for n, s in data.splits.items()}
    return data._replace(**in_order)


def records(
    run: Any, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
) -> Records:
    """Examples as `over_examples` takes them: looked at, columns in the order of training.

    Args:
      run: an `ae.Run`.
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
    examples = checked_input(x, observed, extras, run.spec.columns, run.data_shape)
    conditions.require_values(conditions.of_model(run.model), examples.extras, "the input")
    return examples


def split(run: Any, data: Any = None, parts: tuple[str, ...] = conditions.EVERY) -> Source:
    """A split to be evaluated, columns in the order and conditions in the range of training's.

    Args:
      run: an `ae.Run`.
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
    data = run.dataset().test if data is None else data
    if not hasattr(data, "read"):
        return Arrays(*run.records(data))
    data = matching.matched(data, run.spec.columns)
    matching.require_shape((len(data), *data.spec.x.shape), run.data_shape)
    wanted = conditions.of_model(run.model)
    return conditions.guarded(data, tuple(c for c in wanted if c.part in parts), "the data")


def fields(run: Any, extras: Mapping[str, Any] | None, num: int) -> dict[str, np.ndarray]:
    """The extras of `num` codes or new examples, each `[num, …]`, looked at."""
    checked = given.extras(extras, num, "input")
    conditions.require_values(conditions.of_model(run.model), checked, "the input")
    return checked


def places(x: np.ndarray) -> np.ndarray:
    """The number of each example, uint32 `[n]`, which its noise hangs on."""
    return np.arange(len(x), dtype=np.uint32)
