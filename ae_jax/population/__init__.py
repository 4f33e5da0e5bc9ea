"""Many runs of one recipe in one program: sweeps over seeds and numbers of the config.

While a population trains, `successive_halving` drops the worst members and `population_based` has
them start again from the best: values for `ae.fit_population(…, selection=…)`. A population's
states are stacked on axis 0; the same as pure functions of them are `halve`, by the schedule of
`rungs`, and `exploit_and_explore`.
"""

from ae_jax.population.halving import Rung, halve, rungs, successive_halving, survivors
from ae_jax.population.members import log_uniform, random, uniform
from ae_jax.population.pbt import Exploited, exploit_and_explore, population_based
from ae_jax.population.population import Population
from ae_jax.population.selection import Choice, Facts, Selection

__all__ = [
    "Choice",
    "Exploited",
    "Facts",
    "Population",
    "Rung",
    "Selection",
    "exploit_and_explore",
    "halve",
    "log_uniform",
    "population_based",
    "random",
    "rungs",
    "successive_halving",
    "survivors",
    "uniform",
]
