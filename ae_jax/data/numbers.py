"""Arrays of whatever holds numbers, in a dtype that NumPy and devices both have."""

import numbers

import jax.numpy as jnp
import numpy as np

from ae_jax.errors import DataError


def as_numbers(x: np.ndarray) -> np.ndarray:
    """The same numbers in the machine's byte order, in a dtype of NumPy's own.

    Args:
      x: any shape and dtype; of Python objects, if all are numbers. bfloat16 and the floats of 8
        bits become float32, integers of fewer than 8 bits int32, both exactly.

    Returns:
      An array of x's shape; x itself where nothing has to change.

    Raises:
      DataError: an object is no number (it is named), or x holds times.

    Example:
      >>> as_numbers(np.array([[1, 2.5]], object)).dtype
      dtype('float64')
    """
    if x.dtype == object:
        return _of_objects(x)
    if x.dtype.kind == "V" and jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(np.float32)
    if x.dtype.kind == "V" and jnp.issubdtype(x.dtype, jnp.integer):
        return x.astype(np.int32)
    if x.dtype.kind in "mM":
        raise DataError(
            f"data must be numbers, got times of dtype {x.dtype}: count them from an origin, e.g. "
            "(x - x.min()) / np.timedelta64(1, 's')"
        )
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def _of_objects(x: np.ndarray) -> np.ndarray:
    whole = True
    for place, value in zip(np.ndindex(x.shape), x.flat, strict=True):
        if not isinstance(value, numbers.Real | np.bool_):
            raise DataError(
                "data must be an array [n, *event] of numbers, got objects such as "
                f"{value!r:.50} at ({', '.join(map(str, place))})"
            )
        whole &= isinstance(value, numbers.Integral | np.bool_)
    if not whole:
        return x.astype(np.float64)
    try:
        return x.astype(np.int64)
    except OverflowError as error:
        largest = max(x.flat, key=abs)
        raise DataError(f"data hold {largest!r:.50}, which does not fit 64 bits") from error
