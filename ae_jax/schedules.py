"""Schedules `step -> multiplier` with a config form, for the weights of terms: optax's own."""

from collections.abc import Sequence

import jax.numpy as jnp
import optax

from ae_jax._registry import SCHEDULES
from ae_jax.checks import require_positive, require_positive_ints
from ae_jax.errors import ConfigError

__all__ = ["cosine", "cyclical", "exponential", "linear", "piecewise_constant"]

linear = SCHEDULES.register(optax.linear_schedule, "linear")
cosine = SCHEDULES.register(optax.cosine_decay_schedule, "cosine")
exponential = SCHEDULES.register(optax.exponential_decay, "exponential")


@SCHEDULES.register
def piecewise_constant(
    init_value: float, boundaries: Sequence[int], scales: Sequence[float]
) -> optax.Schedule:
    """Starts at `init_value`; from each boundary on, times its scale.

    Args:
      init_value: multiplier before the first boundary.
      boundaries: steps at which the multiplier changes.
      scales: factor from each boundary on; they accumulate.

    Returns:
      A schedule.

    Raises:
      ConfigError: there are more of one than of the other.

    Example:
      >>> import ae_jax as ae
      >>> schedule = ae.schedules.piecewise_constant(1.0, boundaries=(10,), scales=(0.5,))
      >>> float(schedule(9)), float(schedule(10))
      (1.0, 0.5)
    """
    if len(boundaries) != len(scales):
        raise ConfigError(
            f"boundaries and scales must be equally many, got {boundaries!r} and {scales!r}"
        )
    return optax.piecewise_constant_schedule(init_value, dict(zip(boundaries, scales, strict=True)))


@SCHEDULES.register
def cyclical(period: int, cycles: int = 4, rising: float = 0.5) -> optax.Schedule:
    """Rises linearly from 0 to 1 and stays there, again in each cycle; 1 after the last.

    For the weight of the KL: each cycle begins from codes that the last has filled (Fu et al. 2019,
    "Cyclical annealing schedule").

    Args:
      period: the steps of a cycle.
      cycles: how many there are.
      rising: the part of a cycle in which it rises, above 0 and up to 1.

    Returns:
      A schedule.

    Raises:
      ConfigError: an argument is out of its range.

    Example:
      >>> import ae_jax as ae
      >>> kl = ae.terms.kl(schedule=ae.schedules.cyclical(1_000))
      >>> schedule = cyclical(10, cycles=2)
      >>> [float(schedule(step)) for step in (0, 4, 5, 9, 10, 20)]
      [0.0, 0.8, 1.0, 1.0, 0.0, 1.0]
    """
    require_positive_ints(period=period, cycles=cycles)
    require_positive(rising=rising)
    if rising > 1:
        raise ConfigError(f"rising is a part of the cycle, above 0 and up to 1, got {rising!r}")

    def schedule(step):
        risen = jnp.minimum(jnp.mod(step, period) / (rising * period), 1.0)
        return jnp.where(jnp.asarray(step) < cycles * period, risen, 1.0)

    return schedule
