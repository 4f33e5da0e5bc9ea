"""What is done to each value: scale, standardise, binarise."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax._registry import PREPROCESSING
from ae_jax.data.intake import Affine
from ae_jax.data.preprocessing.part import Preprocessing, on_host, pointwise
from ae_jax.errors import ConfigError
from ae_jax.keys import Draws
from ae_jax.ops import random as fused_random


@PREPROCESSING.register
def scale(low: float, high: float) -> Preprocessing:
    """(x - low) / (high - low): the range [low, high] to [0, 1].

    Raises:
      ConfigError: high is not above low.
    """
    if not high > low:
        raise ConfigError(f"scale needs high above low, got low={low!r}, high={high!r}")
    width = high - low
    affine = Affine(np.asarray(low, np.float64), np.asarray(width, np.float64))
    return pointwise(lambda x: (x - low) / width, lambda x: x * width + low, affine)


@PREPROCESSING.register
def standardise(mean: float | Sequence[float], std: float | Sequence[float]) -> Preprocessing:
    """(x - mean) / std, with statistics of the training split.

    Done in float64 on the host where the mean is so many deviations from 0 that float32 would lose
    digits (`ae_jax.data.facts.SHARE`), as is `scale`.

    Args:
      mean: one number, or one a feature of the last axis.
      std: one number above zero, or one a feature of the last axis.

    Raises:
      ConfigError: a standard deviation that is not above zero.
    """
    affine = Affine(np.asarray(mean, np.float64), np.asarray(std, np.float64))
    if not (affine.spread > 0).all():
        raise ConfigError(f"standardise needs std above zero, got {std!r}")
    with np.errstate(over="ignore"):
        centre, spread = affine.centre.astype(np.float32), affine.spread.astype(np.float32)
    return pointwise(lambda x: (x - centre) / spread, lambda x: x * spread + centre, affine)


@PREPROCESSING.register
def standardise_on_host(
    mean: float | Sequence[float], std: float | Sequence[float]
) -> Preprocessing:
    """`standardise`, in float64 on the host whatever the numbers.

    What is compiled then holds none of them, so that fits to tables of the same shape share their
    programs in JAX's compilation cache.

    Args:
      mean: one number, or one a feature of the last axis.
      std: of the same kind, above zero.

    Raises:
      ConfigError: a standard deviation that is not above zero.
    """
    affine = Affine(np.asarray(mean, np.float64), np.asarray(std, np.float64))
    if not (affine.spread > 0).all():
        raise ConfigError(f"standardise_on_host needs std above zero, got {std!r}")
    return on_host(affine)


@PREPROCESSING.register
def binarise(how: str = "dynamic", threshold: float = 0.5) -> Preprocessing:
    """Grey levels in [0, 1] to 0 and 1; put `scale` before it.

    Args:
      how: "dynamic": Bernoulli(x) drawn anew every time an example is seen (Salakhutdinov & Murray
        2008; in evaluation, once by its place); "fixed": Bernoulli(x) drawn once for each example
        of the data set; "threshold": x > threshold. Log-likelihoods are comparable only between
        models of the same choice. Where nothing may be random (encode, reconstruct) the first two
        leave x as it is, the mean of what they draw.
      threshold: threshold in [0, 1].

    Raises:
      ConfigError: another choice, or a threshold outside [0, 1].
    """
    if how not in BINARISATIONS:
        raise ConfigError(f"how must be one of {', '.join(BINARISATIONS)}, got {how!r}")
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must lie in [0, 1], got {threshold!r}")
    chosen = BINARISATIONS[how]

    def apply(x, draws=None, train=False):
        del train
        x = jnp.asarray(x, jnp.float32)
        if chosen is None:
            return (x > threshold).astype(jnp.float32)
        if draws is None:
            return x
        uniform = jax.vmap(lambda key: fused_random.uniform(key, x.shape[1:]))(chosen(draws))
        return (uniform < x).astype(jnp.float32)

    return Preprocessing(apply, lambda x: jnp.asarray(x, jnp.float32))


BINARISATIONS: dict[str, Callable[[Draws], Any] | None] = {
    "dynamic": lambda draws: draws.time,
    "fixed": lambda draws: draws.example,
    "threshold": None,
}
