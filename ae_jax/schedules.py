"""Schedules `step -> multiplier` with a config form, for the weights of terms: optax's own."""

from collections.abc import Sequence

import optax

from ae_jax._registry import SCHEDULES
from ae_jax.errors import ConfigError

__all__ = ["cosine", "exponential", "linear", "piecewise_constant"]

linear = SCHEDULES.register(optax.linear_schedule, "linear")
cosine = SCHEDULES.register(optax.cosine_decay_schedule, "cosine")
exponential = SCHEDULES.register(optax.exponential_decay, "exponential")


@SCHEDULES.register
def piecewise_constant(
    init_value: float, boundaries: Sequence[int], scales: Sequence[float]
) -> optax.Schedule:
    """Starts at `init_value`; from each boundary on, times its scale.

    Args:
      init_value: the multiplier before the first boundary.
      boundaries: steps.
      scales: one for each boundary; they accumulate.

    Returns:
      A schedule.

    Raises:
      ConfigError: there are more of one than of the other.
    """
    if len(boundaries) != len(scales):
        raise ConfigError(
            f"boundaries and scales must be equally many, got {boundaries!r} and {scales!r}"
        )
    return optax.piecewise_constant_schedule(init_value, dict(zip(boundaries, scales, strict=True)))
