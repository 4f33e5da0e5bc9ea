"""How sure a ratio of two programs' times is, from times of several processes each."""

from collections.abc import Sequence

import numpy as np

from ae_jax.errors import DataError


def ratio_interval(
    ours: Sequence[float],
    theirs: Sequence[float],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """How many times as fast ours is: the ratio of medians of seconds, with an interval.

    `median(theirs) / median(ours)`, and the percentile bootstrap of it (Efron & Tibshirani 1993,
    "An introduction to the bootstrap", chapter 13): each side's processes are drawn again with
    replacement, so that the interval holds what varies from process to process, which the samples
    within one do not show.

    Args:
      ours: seconds, one number a process.
      theirs: seconds of the other, one number a process.
      confidence: confidence of the interval, in (0, 1).
      resamples: bootstrap samples.
      seed: seed of their draws.

    Returns:
      Ratio, lower end and upper end; above 1 where ours takes less time.

    Raises:
      DataError: a side is empty, or holds a number that is not positive and finite; the confidence
        lies outside (0, 1).
    """
    sides = {"ours": np.asarray(ours, float), "theirs": np.asarray(theirs, float)}
    for name, values in sides.items():
        if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
            raise DataError(f"{name} must be seconds of one process or more, got {values.tolist()}")
    if not 0 < confidence < 1:
        raise DataError(f"confidence must lie between 0 and 1, e.g. 0.95, got {confidence}")
    rng = np.random.default_rng(seed)
    draws = [
        np.median(rng.choice(values, (resamples, values.size)), axis=1) for values in sides.values()
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws[1] / draws[0], [tail, 1 - tail])
    ratio = np.median(sides["theirs"]) / np.median(sides["ours"])
    return float(ratio), float(low), float(high)
