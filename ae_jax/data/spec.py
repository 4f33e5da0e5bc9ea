"""What a data set says of itself once it has been looked at: its scaling, kind and range."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import compiler, keys
from ae_jax.data import kinds, preprocessing
from ae_jax.data.dataset import Dataset
from ae_jax.data.facts import Facts, facts_of, loses
from ae_jax.data.inputs import as_dataset
from ae_jax.data.intake import take_in
from ae_jax.data.preprocessing import Preprocessing, on_device
from ae_jax.data.source import Subset, lies_in_memory, pieces, sampled
from ae_jax.errors import DataError
from ae_jax.types import Spec

FLAT = 1e-12
"""Numbers whose deviation is at most this share of their mean are taken for a constant."""


def choose_preprocessing(dataset: Dataset) -> Preprocessing:
    """Scaling for a data set, from the training split (if that streams: a fixed sample of it).

    - tokens and counts: as they are; tables: `standardise` their numbers alone;
    - a source that declares its range, and uint8 data: `scale` to [0, 1] (uint8 holding only 0 and
      1 is taken as binary);
    - booleans, what is declared binary, and floats all within [0, 1] that float32 can tell apart:
      as they are;
    - everything else: `standardise`, one mean and deviation a feature for `[n, d]` data and for a
      data set of kind "series", one in all otherwise; features without spread keep deviation 1.
      Missing entries count for nothing.
    """
    if dataset.kind in ("tokens", "count"):
        return preprocessing.none()
    if dataset.value_range is not None:
        return preprocessing.scale(*dataset.value_range)
    facts, dtype = facts_of(dataset.train, dataset.by_column), dataset.train.spec.x.dtype
    low, high = facts.extent
    if dataset.kind != "table":
        if dtype == np.uint8:
            return preprocessing.scale(0.0, 255.0 if high > 1 else 1.0)
        if dataset.kind == "binary":
            return preprocessing.none()
        if dtype == np.bool_ or (low >= 0 and high <= 1 and not facts.loses_in_float32):
            return preprocessing.none()
    mean, std = _moments(facts)
    if dataset.columns is not None:
        number = np.array([column.kind == "number" for column in dataset.columns])
        mean, std = np.where(number, mean, 0.0), np.where(number, std, 1.0)
    plain = lambda v: tuple(map(float, v)) if np.ndim(v) else float(v)
    return preprocessing.standardise(plain(mean), plain(std))


def _moments(facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation to standardise by: 1 for what does not vary, exactly the value if far."""
    mean, std = np.asarray(facts.mean), np.asarray(facts.deviation)
    if not np.isfinite(mean + std).all():
        raise DataError(
            f"the training data reach from {facts.extent[0]} to {facts.extent[1]}: their squares "
            "exceed float64, so that they have no deviation to be scaled by; rescale them"
        )
    whole = np.issubdtype(facts.low.dtype, np.integer)
    flat = facts.constant | (std <= (0.0 if whole else FLAT * np.abs(mean)))
    mean = np.where(facts.constant & loses(mean, 1.0), facts.low.astype(np.float64), mean)
    return mean, np.where(flat, 1.0, std)


def spec_of(data: Any, preprocess: Preprocessing | None = None) -> Spec:
    """The spec of a data set or array once preprocessed.

    Args:
      data: whatever `fit` takes.
      preprocess: None: the one that would be chosen.

    Returns:
      A Spec. The kind is the data set's own if it declares one; else "binary" if all values are 0
      or 1, and "real".
    """
    dataset = data if isinstance(data, Dataset) else as_dataset(data)
    preprocess = choose_preprocessing(dataset) if preprocess is None else preprocess
    shape = preprocess.event_shape(tuple(dataset.train.spec.x.shape))
    if dataset.kind is not None:
        kinds.require_kind(dataset.kind)
        declared = dataset.kind, dataset.num_classes, dataset.columns, dataset.terminator
        return Spec(shape, *declared)
    binary = _all_binary if preprocess.affine is None else _affine_binary
    kind = "binary" if binary(dataset, preprocess) else "real"
    return Spec(shape, kind, columns=dataset.columns)


def _affine_binary(dataset: Dataset, preprocess: Preprocessing) -> bool:
    """Whether all values become 0 or 1: there are two at most, and the ends of each column do."""
    facts = facts_of(dataset.train, dataset.by_column)
    if facts.levels is None and not facts.constant.all():
        return False
    shape = dataset.train.spec.x.shape
    ends = np.stack([np.broadcast_to(end, shape) for end in (facts.low, facts.high)])
    apply = preprocess.apply if preprocess.host else jax.jit(preprocess.apply)
    values = np.asarray(apply(ends))
    return bool(((values == 0) | (values == 1)).all())


def _all_binary(dataset: Dataset, preprocess: Preprocessing) -> bool:
    """The same by trying, up to the first value that is another."""
    train = dataset.train if lies_in_memory(dataset.train) else sampled(dataset.train)
    if train.spec.valid is not None:
        valid = np.concatenate([np.asarray(piece.valid) for piece in pieces(train)])
        train = Subset(train, np.flatnonzero(valid))

    @compiler.jit
    def all_binary(x):
        values = on_device(preprocess).apply(x, keys.any_draws(len(x)))
        return jnp.all((values == 0) | (values == 1))

    return all(bool(all_binary(piece.x)) for piece in pieces(take_in(train, preprocess.host)))


def display_range(dataset: Dataset) -> tuple[float, float]:
    """The values, in the data's units, that figures show black and white."""
    if dataset.value_range is not None:
        return dataset.value_range
    low, high = facts_of(dataset.train, dataset.by_column).extent
    if low.dtype == np.uint8:
        return (0.0, 255.0 if high > 1 else 1.0)
    return float(low), float(high)
