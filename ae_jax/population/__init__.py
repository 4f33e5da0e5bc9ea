"""Populations: many members trained as one program, their states stacked on axis 0.

Which members go on is decided by pure functions of that stacked state: `halve` and `rungs` drop the
worst, `exploit_and_explore` has them start again from the best.
"""

from ae_jax.population.halving import Rung, halve, rungs, survivors
from ae_jax.population.pbt import Exploited, exploit_and_explore

__all__ = [
    "Exploited",
    "Rung",
    "exploit_and_explore",
    "halve",
    "rungs",
    "survivors",
]
