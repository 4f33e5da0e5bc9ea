"""Many runs of one recipe in one program: sweeps over seeds and numbers of the config.

A population's states are stacked on axis 0. Which members go on is decided by pure functions of
them: `halve` and `rungs` drop the worst, `exploit_and_explore` has them start again from the best.
"""

from ae_jax.population.halving import Rung, halve, rungs, survivors
from ae_jax.population.members import log_uniform, random, uniform
from ae_jax.population.pbt import Exploited, exploit_and_explore
from ae_jax.population.population import Population

__all__ = [
    "Exploited",
    "Population",
    "Rung",
    "exploit_and_explore",
    "halve",
    "log_uniform",
    "random",
    "rungs",
    "survivors",
    "uniform",
]
