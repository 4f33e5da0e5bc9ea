"""What a run is worth on a split: bounds, metrics, use of its latent.

Methods of `Run`: a run is their first argument.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import evaluation, keys
from ae_jax.checks import require_positive_ints
from ae_jax.data.source import readable, sampled
from ae_jax.errors import ConfigError
from ae_jax.evaluation.rates import require_bound
from ae_jax.evaluation.usage import require_gaussians
from ae_jax.precision import compiled_in_float32
from ae_jax.runs.inputs import places
from ae_jax.runs.spread import strategy_of
from ae_jax.training.evaluator import evaluation_program, evaluator
from ae_jax.training.feeds import choose_engine


@compiled_in_float32()
def log_likelihood(
    run: Any,
    x: Any,
    samples: int = 64,
    seed: int = 0,
    *,
    observed: Any = None,
    extras: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """A lower bound on log p(x) of each example by importance sampling; see `ae.evaluation`.

    Args:
      run: an `ae.Run`.
      x: `[n, *event]`, in the data's units.
      samples: k, honoured exactly.
      seed: of the samples, and of a random binarisation.
      observed: see `encode`; the bound is on the observed entries alone.
      extras: see `encode`.

    Returns:
      float32 `[n]`, nats, of the preprocessed x.

    Raises:
      PartError: log p(x) has no bound; see `ae.evaluation.has_bound`.
    """
    require_positive_ints(samples=samples)
    require_bound(run)
    records = run.records(x, observed=observed, extras=extras)
    key = keys.stream(keys.root(seed), "evaluation")
    shared = (run.variables, jax.random.key_data(key))
    bound = functools.partial(run.functions.log_likelihood, samples)
    bounds = run.over_examples(f"likelihood {samples}", bound)
    return bounds(shared, records, places(records.x))


@compiled_in_float32()
def evaluate(run: Any, data: Any = None) -> dict[str, float]:
    """The objective's terms and `ae.evaluation.evaluation_metrics`, means over a split.

    Args:
      run: an `ae.Run`.
      data: `[n, *event]`, a pair `(x, extras)`, a source such as `ae.data.load(…).test`, whose
        columns are put into the order of training, or None: the test split of the run's own
        data source.

    Returns:
      Plain floats by name.

    Raises:
      ConfigError: the data came from memory, or the objective cannot be rebuilt.
    """
    if run.objective is None:
        raise ConfigError("this run's objective came as Python objects; pass it to ae.load")
    split = run.split(data)
    strategy, section = strategy_of(run, jax.devices()), run.config.data
    engine = choose_engine(section.engine, {"": split}, section.resident_mib * 2**20)
    name = "evaluate", id(run.objective), engine, strategy.name, strategy.mesh
    if name not in run._programs:
        parts = run.model, run.objective, run.preprocessing
        args = parts, run.config, run.num_train, strategy, engine
        run._programs[name] = evaluation_program(*args)
    how, host = (run.config, strategy), run.preprocessing.host
    measure = evaluator(run._programs[name], *how, split, engine, host)
    root = jax.random.key(run.config.training.seed)
    step = np.int32(run.config.training.steps)
    place = strategy.place
    return measure(strategy.place_state(run.variables), place(root), place(step))


@compiled_in_float32()
def latent_usage(run: Any, data: Any = None) -> evaluation.Usage:
    """Active units, KL by dimension and mutual information; see `ae.evaluation.latent_usage`.

    Args:
      run: an `ae.Run`.
      data: `[n, *event]`, a source such as `ae.data.load(…).test`, or None: the test split of
        the run's own data source. Of many examples, a fixed choice of 8,192 is taken.

    Returns:
      A Usage.

    Raises:
      ConfigError: the data came from memory.
      PartError: posterior or prior is no diagonal Gaussian.
    """
    prior = run.model.prior(run.variables)
    # Before any is computed: a flow's posterior holds the flow, for every example.
    require_gaussians(run.functions.shape_of_posterior(run.variables), prior)
    split = run.split(data, parts=("encoder",))
    records = readable(sampled(split).records)
    posterior = run.over_examples("posterior", run.functions.posterior)(run.variables, records)
    return evaluation.latent_usage(posterior, prior)
