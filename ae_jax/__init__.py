"""ae_jax: autoencoders for JAX.

An autoencoder is a row of pure parts, an objective is a weighted sum of pure terms, and one step
function trains any of them on any number of devices.
"""

from ae_jax import (
    bottlenecks,
    checks,
    compiler,
    config,
    corruptions,
    data,
    distributions,
    errors,
    evaluation,
    flows,
    keys,
    likelihoods,
    losses,
    networks,
    ops,
    population,
    precision,
    priors,
    recipes,
    samplers,
    schedules,
    terms,
    testing,
    training,
)
from ae_jax._workdir import read_metrics
from ae_jax.critics import critic, teacher
from ae_jax.data.spec import spec_of
from ae_jax.evaluation.ensembles import ensemble
from ae_jax.model import Autoencoder, autoencoder
from ae_jax.networks import from_linen, from_nnx
from ae_jax.objective import Objective, Term
from ae_jax.population.fit import fit_population, fit_population_config
from ae_jax.population.population import Population, load_population
from ae_jax.runs import walks
from ae_jax.runs.fit import fit, fit_config
from ae_jax.runs.load import load
from ae_jax.runs.run import Run
from ae_jax.term_factories import term
from ae_jax.types import Batch, Collectives, Context, Outputs, Player, Spec, Variables

__version__ = "0.1.0"

compiler.make_safe()

__all__ = [
    "Autoencoder",
    "Batch",
    "Collectives",
    "Context",
    "Objective",
    "Outputs",
    "Player",
    "Population",
    "Run",
    "Spec",
    "Term",
    "Variables",
    "autoencoder",
    "bottlenecks",
    "checks",
    "config",
    "corruptions",
    "critic",
    "data",
    "distributions",
    "ensemble",
    "errors",
    "evaluation",
    "fit",
    "fit_config",
    "fit_population",
    "fit_population_config",
    "flows",
    "from_linen",
    "from_nnx",
    "keys",
    "likelihoods",
    "load",
    "load_population",
    "losses",
    "networks",
    "ops",
    "population",
    "precision",
    "priors",
    "read_metrics",
    "recipes",
    "samplers",
    "schedules",
    "spec_of",
    "teacher",
    "term",
    "terms",
    "testing",
    "training",
    "walks",
]
