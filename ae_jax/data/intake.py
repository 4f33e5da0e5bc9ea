"""From the data's units to what a device holds: numbers of 32 bits or fewer, checked on the host.

JAX drops to 32 bits without a word: it rounds float64, and wraps int64. Here what does not fit is
refused, and columns far from 0 for their deviation are first centred and scaled in float64.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax.data.facts import extent_of, loses
from ae_jax.data.source import Records, Source, View
from ae_jax.errors import DataError

SMALLEST, LARGEST = 1e-30, 1e30
"""Deviations and means outside are near the ends of float32, and scaled on the host."""
WIDE = 2.0**-53
"""The largest relative error of rounding to float64."""


class Affine(NamedTuple):
    """The map (x - centre) / spread, a number or one a column, in float64.

    Attributes:
      centre: subtracted, in the data's units.
      spread: divided by, above zero.
    """

    centre: np.ndarray
    spread: np.ndarray

    def apply(self, x: Any) -> np.ndarray:
        """`[…, *event]` of any dtype to float32; differences are taken in float64."""
        wide = np.asarray(x, np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            return ((wide - self.centre) / self.spread).astype(np.float32)

    def invert(self, x: Any) -> np.ndarray:
        """Back to the data's units, in float64."""
        return np.asarray(x, np.float64) * self.spread + self.centre

    def then(self, other: "Affine") -> "Affine":
        """The two in one."""
        return Affine(self.centre + self.spread * other.centre, self.spread * other.spread)

    @property
    def exceeds_float32(self) -> bool:
        """Whether data of this mean and deviation lose digits as float32; see `facts.SHARE`."""
        ends = (np.abs(self.centre) > LARGEST) | (self.spread > LARGEST) | (self.spread < SMALLEST)
        return bool((loses(self.centre, self.spread) | ends).any())


@dataclasses.dataclass(frozen=True, eq=False)
class Intake(View):
    """A source as a device takes it.

    Attributes:
      whole: the source, in the data's units.
      host: applied to x first; None: nothing is.
      dtype: dtype of x.
    """

    host: Affine | None
    dtype: np.dtype

    @property
    def spec(self) -> Records:
        """See `Source`."""
        spec = self.whole.spec
        extras = {name: _declared(extra) for name, extra in spec.extras.items()}
        return spec._replace(x=jax.ShapeDtypeStruct(spec.x.shape, self.dtype), extras=extras)

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.whole)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        return _taken(self.whole.read(index), self.host, self.dtype, index)


def take_in(source: Source, host: Affine | None) -> Source:
    """The source as a device takes it: itself where nothing has to be done.

    Args:
      source: source in the data's units.
      host: host function of a preprocessing (`ae_jax.data.preprocessing.Preprocessing.host`).

    Returns:
      A source that raises DataError as it is read for a number that no device holds.
    """
    spec = source.spec
    dtype = (
        np.dtype(np.float32)
        if host is not None
        else _short(spec.x.dtype, lambda: extent_of(source))
    )
    as_is = dtype == spec.x.dtype and np.dtype(spec.x.dtype).isnative
    if as_is and all(_declared(extra) == extra for extra in spec.extras.values()):
        return source
    return Intake(source, host, dtype)


def take_in_records(records: Records, host: Affine | None) -> Records:
    """Records as a device takes them; see `take_in`.

    Raises:
      DataError: a number that no device holds.
    """
    x = np.asarray(records.x)
    dtype = _short(x.dtype, lambda: (x.min(), x.max())) if x.size else np.dtype(np.float32)
    return _taken(records, host, dtype if host is None else np.dtype(np.float32))


def fits_device(values: np.ndarray) -> bool:
    """Whether integers keep their values on a device, which has 32 bits for them; floats do."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not len(values):
        return True
    limits = np.iinfo(f"{values.dtype.kind}4")
    return bool(limits.min <= values.min() and values.max() <= limits.max)


def _taken(records: Records, host: Affine | None, dtype: np.dtype, index: Any = None) -> Records:
    x = records.x if host is None else host.apply(records.x)
    extras = {name: _extra(name, value, index) for name, value in records.extras.items()}
    return records._replace(x=_narrowed(x, dtype, "the data hold", index), extras=extras)


def _extra(name: str, value: Any, index: Any) -> Any:
    value = np.asarray(value)
    dtype = _declared(jax.ShapeDtypeStruct(value.shape, value.dtype)).dtype
    return _narrowed(value, dtype, f"extras['{name}'] holds", index)


def _declared(extra: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    dtype = np.dtype(extra.dtype)
    if dtype.kind not in "iuf":
        return extra
    short = np.dtype(f"{dtype.kind}{min(4, dtype.itemsize)}")
    return jax.ShapeDtypeStruct(extra.shape, short)


def _short(dtype: Any, extent: Any) -> np.dtype:
    """What a device holds numbers of this dtype as.

    Args:
      dtype: dtype of the data.
      extent: gives their smallest and largest; called for integers of 64 bits alone, which become
        float32 where they do not all fit 32.
    """
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.kind == "f":
        return np.dtype(f"f{min(4, dtype.itemsize)}")
    if dtype.kind not in "iu" or dtype.itemsize < 8:
        return dtype
    short, (low, high) = np.dtype(f"{dtype.kind}4"), extent()
    fits = np.iinfo(short).min <= low and high <= np.iinfo(short).max
    return short if fits else np.dtype(np.float32)


def _narrowed(x: np.ndarray, dtype: np.dtype, holds: str, index: Any = None) -> np.ndarray:
    if x.dtype == dtype:
        return x
    with np.errstate(over="ignore", invalid="ignore"):
        short = x.astype(dtype)
    if dtype.kind == "f":
        bad = np.isinf(short) & np.isfinite(x)
    elif dtype.kind in "iu" and x.dtype.itemsize > dtype.itemsize:
        bad = (x < np.iinfo(dtype).min) | (x > np.iinfo(dtype).max)
    else:
        return short
    if bad.any():
        row, *inside = (int(i) for i in np.argwhere(bad)[0])
        place = (row if index is None else int(index[row]), *inside)
        raise DataError(
            f"{holds} {x[(row, *inside)]} at {place}, which does not fit {dtype}; rescale it, "
            "count from a nearer origin, or leave it out"
        )
    return short
