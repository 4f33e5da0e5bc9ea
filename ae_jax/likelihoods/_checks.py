"""Checks of a host array against a likelihood's support, before anything is compiled."""

import numpy as np

from ae_jax.errors import DataError


def require_range(name: str, x: np.ndarray, low: float, high: float, instead: str) -> None:
    """Raises DataError with the first value outside [low, high] and where it stands.

    Args:
      name: the likelihood's name.
      x: the data, any shape; NaN is left to the check for finite data.
      low: smallest value allowed.
      high: largest value allowed.
      instead: what the user could do.
    """
    outside = (x < low) | (x > high)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        raise DataError(
            f"the {name} likelihood needs values in [{low:g}, {high:g}], got {x[place]:g} at "
            f"{place} (data range {np.nanmin(x):g} to {np.nanmax(x):g}); {instead}"
        )
