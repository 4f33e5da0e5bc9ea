"""Whether a data set keeps its digits on the way to a device, of what its facts say."""

import numpy as np

from ae_jax.data.dataset import Dataset
from ae_jax.data.facts import SHARE, Facts, exact_in_float32, facts_of
from ae_jax.data.intake import Affine
from ae_jax.errors import DataError

REFUSED = {"tokens": 0.0}
"""The share of its deviation that a column of a kind may lose; of every other kind 2 `SHARE`, which
is never reached by data that are centred by their mean."""
FLOAT32, FLOAT64 = 2.0**-24, 2.0**-53
"""The largest relative errors of rounding."""


def check_digits(dataset: Dataset, host: Affine | None) -> None:
    """Refuses data that float32 cannot hold even after what the host does to them.

    Args:
      dataset: each of whose splits is looked at (`ae_jax.data.facts`), but not more than once.
      host: host function of the preprocessing.

    Raises:
      DataError: a column loses more than twice `facts.SHARE` of the training split's deviation, or
        a value is beyond float32; split, column, value and what to do are named.
    """
    allowed = REFUSED.get(dataset.kind or "", 2 * SHARE)
    dtype = np.dtype(dataset.train.spec.x.dtype)
    deviation, varied = None, np.False_
    if host is not None or not exact_in_float32(dtype):
        known = facts_of(dataset.train, dataset.by_column)
        deviation, varied = known.deviation, ~known.constant
    if deviation is None:
        return
    for name, split in dataset.splits.items():
        called = {"train": "training"}.get(name, name)
        facts = facts_of(split, dataset.by_column, called)
        lost = facts.lost if host is None else _lost_behind(host, facts)
        lost = np.broadcast_to(lost, np.broadcast_shapes(lost.shape, np.shape(deviation)))
        bad = (varied & (lost > allowed * deviation)) | ~np.isfinite(lost + deviation)
        if bad.any():
            column = int(np.argmax(bad))
            raise DataError(
                f"the {called} data hold {_described(dataset, facts, bad, column)}, rounded "
                f"by {lost.flat[column]:.3g} on a device: too much for a deviation of "
                f"{np.broadcast_to(deviation, bad.shape).flat[column]:.3g}; {_remedy(host)}"
            )


def _lost_behind(host: Affine, facts: Facts) -> np.ndarray:
    """The most that a value changes where it is rounded after centring, in the data's units."""
    ends = [np.asarray(end, np.float64) for end in (facts.low, facts.high)]
    lost = np.maximum(*(np.abs(end - host.centre) for end in ends)) * FLOAT32
    if facts.low.dtype.kind in "iu" or facts.low.dtype.itemsize > 8:  # float64 rounds these first
        lost = np.maximum(lost, np.maximum(*map(np.abs, ends)) * FLOAT64)
    return np.where(facts.constant, np.where(np.isfinite(lost), 0.0, lost), lost)


def _described(dataset: Dataset, facts: Facts, bad: np.ndarray, column: int) -> str:
    low, high = (np.broadcast_to(end, bad.shape).flat[column] for end in (facts.low, facts.high))
    value = high if abs(float(high)) >= abs(float(low)) else low
    if not bad.ndim:
        return f"{value}"
    called = f" ('{dataset.columns[column].name}')" if dataset.columns else ""
    return f"{value} in column {column}{called}"


def _remedy(host: Affine | None) -> str:
    if host is None:
        return (
            "begin data.preprocessing with standardise(mean=…, std=…), which is then done in "
            "float64, or leave the column out"
        )
    return "subtract an origin near the values before, or give their mean and deviation"
