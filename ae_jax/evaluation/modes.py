"""Which of the data's modes generated examples have, where the modes are known: classes, say."""

from typing import Any

import numpy as np

from ae_jax.errors import DataError


def mode_coverage(real: Any, generated: Any) -> dict[str, float]:
    """How many of the data's modes are generated, and how far their shares are from the data's.

    Modes are counted as in Metz et al. 2017, "Unrolled generative adversarial networks", for which
    the classes that a classifier sees are the modes. One counts as generated if its share is a
    tenth at least of what it is among real examples: a few in which the classifier errs are none.

    Args:
      real: the mode of each real example, `[n]`: whole numbers or names.
      generated: that of each generated example, `[m]`.

    Returns:
      "modes", the share of the real examples' modes that are generated, and "mode_distance",
      ½ Σ |q - p| over the modes of both, their total variation; each in [0, 1].

    Raises:
      DataError: there are no examples, or more than one number each.

    Example:
      >>> import numpy as np
      >>> mode_coverage(np.arange(10), np.arange(10) % 5)
      {'modes': 0.5, 'mode_distance': 0.5}
    """
    real, generated = np.asarray(real), np.asarray(generated)
    for name, values in (("real", real), ("generated", generated)):
        if values.ndim != 1 or not len(values):
            raise DataError(f"{name} must be the mode of each example, [n], got {values.shape}")
    _, places = np.unique(np.concatenate([real, generated]), return_inverse=True)
    count = lambda part: np.bincount(part, minlength=places.max() + 1) / len(part)
    wanted, shares = count(places[: len(real)]), count(places[len(real) :])
    has = wanted > 0
    return {
        "modes": float(np.mean(shares[has] >= wanted[has] / 10)),
        "mode_distance": float(np.sum(np.abs(shares - wanted)) / 2),
    }
