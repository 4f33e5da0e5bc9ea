"""Missing entries filled in by a trained model: their mean or draws, given what is observed."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import generation, keys
from ae_jax.checks import require_positive_ints
from ae_jax.data.preprocessing import on_device
from ae_jax.data.source import Records
from ae_jax.errors import DataError, PartError, ShapeError
from ae_jax.evaluation.likelihood import Drawn, Total, no_weight, over_importance_samples
from ae_jax.evaluation.rates import drawn_batch
from ae_jax.precision import compiled_in_float32
from ae_jax.types import Array, Likelihood, PRNGKey, Shape

PICK = 2**31 - 1  # of an example's key: beside the numbers of importance samples


class Imputed(NamedTuple):
    """Examples with their missing entries filled in, in the data's units.

    Attributes:
      x: `[n, *event]`, what was observed as it was given, E[x_missing | x_observed] elsewhere.
      draws: `[n, m, *event]`, missing entries drawn from p(x_missing | x_observed); None if none
        were asked for.
      effective: the effective number of importance samples, (Σ w)² / Σ w², `[n]`: near 1, one
        sample has nearly all of the weight, and the answer is that of a single code.
    """

    x: np.ndarray
    draws: np.ndarray | None
    effective: np.ndarray


class _Sums(NamedTuple):
    """What is kept of an example's importance samples.

    Attributes:
      total: Σ w.
      squares: Σ w², at the total's peak.
      mean: Σ w E[x | z], at the total's peak, `[*event]`.
      votes: Σ w [class drawn], `[*event, classes]`; None: no entry is a class.
      best: the highest log w + Gumbel noise so far, `[m]`.
      picked: the decoder's output y of that sample, `[m, *parameter_shape]`.
    """

    total: Total
    squares: Array
    mean: Array
    votes: Array | None
    best: Array
    picked: Array


@compiled_in_float32()
def impute(
    run: Any,
    x: Any,
    samples: int = 1_000,
    draws: int = 0,
    seed: int = 0,
    *,
    observed: Any = None,
    extras: Mapping[str, Any] | None = None,
) -> Imputed:
    """Fills in what is missing, given what is observed (Mattei & Frellsen 2019, "MIWAE").

    With z_i ~ q(z | x_observed) and w_i = p(x_observed | z_i) p(z_i) / q(z_i | x_observed),

        E[x_missing | x_observed] ≈ Σ w_i E[x_missing | z_i] / Σ w_i

    which is the least-squares answer under the model. `draws` are multiple imputations by sampling
    importance resampling: i is drawn with probability w_i / Σ w, then x_missing from p(x | z_i);
    analyse each completed table alone and pool (Rubin 1987). Of categories and tokens, which have
    no mean, `x` is the most probable class. Encoders see 0 at missing entries, as in training.

    The model should have been trained with entries missing: any with a prior, best
    `ae.recipes.iwae` (MIWAE is its bound on the observed entries), with `ae.likelihoods.student_t`
    for numbers with outliers. Memory does not grow with `samples`.

    Args:
      run: a Run.
      x: `[n, *event]`, in the data's units, or as for `Run.encode`: a masked array, a table, ….
      samples: importance samples; the paper takes 10,000.
      draws: m, how many multiple imputations to draw.
      seed: of the samples and draws; the same on any number of devices.
      observed: bool, of x's shape, False where an entry is missing; None: as x itself says.
      extras: conditions, see `Run.encode`.

    Returns:
      An Imputed.

    Raises:
      DataError: nothing is missing.
      PartError: the model has no densities, its decoder reads x, or x cannot be brought back to the
        data's units.
    """
    require_positive_ints(samples=samples)
    if draws != 0:
        require_positive_ints(draws=draws)
    records = run.records(x, observed=observed, extras=extras)
    seen = records.observed
    if seen is None or np.all(seen):
        raise DataError(
            "nothing is missing: say what is, observed=~np.isnan(x), or pass a masked array"
        )
    require_fit(run)
    classes = _classes(run)
    filled = functools.partial(_filled, run, samples, draws, classes)
    key = keys.stream(keys.root(seed), "evaluation")
    shared = run.variables, jax.random.key_data(key)
    places = np.arange(len(records.x), dtype=np.uint32)
    over = run.over_examples(("impute", samples, draws), filled)
    mean, many, effective = over(shared, records, places)
    host = run.preprocessing.host
    if host is not None:
        mean, many = host.invert(mean), host.invert(many)
    given = np.asarray(records.x)
    known = lambda v, x, s: np.where(s, x, v).astype(v.dtype)
    return Imputed(
        known(mean, given, seen),
        known(many, given[:, None], np.asarray(seen)[:, None]) if draws else None,
        effective,
    )


def _filled(
    run: Any,
    samples: int,
    draws: int,
    classes: np.ndarray | None,
    shared: Any,
    records: Records,
    places: Array,
) -> tuple[Array, Array, Array]:
    """Of a batch, what `impute` takes from the device: means, draws, effective sample sizes."""
    invert = on_device(run.preprocessing).invert
    likelihood, shape = run.model.likelihood, run.spec.event_shape
    variables, batch, example_keys = drawn_batch(run, shared, records, places)
    params = variables.params.get("likelihood", {})
    start, add = _sums(likelihood, params, shape, draws, classes)
    row = run.model, variables, batch, example_keys, samples
    sums = over_importance_samples(*row, start, add)
    scaled = sums.total.scaled
    mean = sums.mean / scaled.reshape(-1, *[1] * len(shape))
    if classes is not None:
        votes: Any = sums.votes
        mean = jnp.where(classes > 0, jnp.argmax(votes, axis=-1), mean)

    def drawn_of(picked, key):
        each = jax.vmap(lambda m: jax.random.fold_in(key, m))(PICK - 1 - jnp.arange(draws))
        return jax.vmap(lambda y, k: likelihood.sample(params, y, k))(picked, each)

    flat = invert(jax.vmap(drawn_of)(sums.picked, example_keys).reshape(-1, *shape))
    many = flat.reshape(len(places), draws, *flat.shape[1:])
    return invert(mean), many, scaled**2 / sums.squares


def _sums(
    likelihood: Likelihood, params: Any, shape: Shape, draws: int, classes: np.ndarray | None
) -> tuple[_Sums, Callable[[_Sums, Drawn, PRNGKey], _Sums]]:
    """What an example's sums start from, and how samples are added to them."""

    def add(sums, drawn, key):
        total, shrink, weights = sums.total.add(drawn.log_weight)
        more = lambda old, new: shrink * old + jnp.tensordot(weights, new, 1)
        means = jax.vmap(lambda y: likelihood.mean(params, y))(drawn.y)
        fold = jax.random.fold_in
        each = jax.vmap(lambda i: fold(fold(key, PICK), i))(drawn.number)
        # The maximum of log w + Gumbel noise is a draw from w / Σ w, in one pass.
        noise = jax.vmap(lambda k: jax.random.gumbel(k, (draws,)))(each)
        scores = drawn.log_weight[:, None] + noise
        first, height = jnp.argmax(scores, axis=0), jnp.max(scores, axis=0)
        better = (height > sums.best).reshape(-1, *[1] * (drawn.y.ndim - 1))
        votes = sums.votes
        if votes is not None:
            values = jax.vmap(lambda y, k: likelihood.sample(params, y, k))(drawn.y, each)
            votes = more(votes, jax.nn.one_hot(values.astype(jnp.int32), votes.shape[-1]))
        return _Sums(
            total,
            shrink**2 * sums.squares + jnp.sum(weights**2),
            more(sums.mean, means),
            votes,
            jnp.maximum(height, sums.best),
            jnp.where(better, drawn.y[first], sums.picked),
        )

    start = _Sums(
        no_weight(),
        jnp.zeros(()),
        jnp.zeros(shape),
        None if classes is None else jnp.zeros((*shape, int(classes.max()))),
        jnp.full((draws,), -jnp.inf),
        jnp.zeros((draws, *likelihood.parameter_shape(shape))),
    )
    return start, add


def imputation_error(imputed: Any, x: Any, hidden: Any, scale: Any = 1.0) -> float:
    """The mean squared error of what was filled in, over hidden entries alone.

    Args:
      imputed: `[n, *event]`.
      x: the truth, of the same shape.
      hidden: bool, of the same shape, True where x was hidden and is filled in.
      scale: by which errors are divided first: 1, or a column's deviation each.

    Returns:
      Its value in units of x / scale, squared.

    Raises:
      ShapeError: the shapes differ.
      DataError: nothing was hidden.

    Example:
      >>> import numpy as np
      >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
      >>> imputation_error(x + 0.5, x, np.array([[True, False], [False, True]]))
      0.25
    """
    again, x, hidden = (
        np.asarray(imputed, np.float64),
        np.asarray(x, np.float64),
        np.asarray(hidden),
    )
    if not again.shape == x.shape == hidden.shape or hidden.dtype != np.bool_:
        raise ShapeError(
            f"imputed {again.shape} and x {x.shape} must have one shape, and hidden must be bool "
            f"of that shape, got {hidden.dtype} {hidden.shape}"
        )
    if not hidden.any():
        raise DataError("nothing was hidden, so that there is no error of filling it in")
    return float(np.mean((((again - x) / scale)[hidden]) ** 2))


def require_fit(run: Any) -> None:
    """Raises PartError unless the model can tell what is missing."""
    if not run.has_bound:
        raise PartError(
            "imputation by importance weights needs densities, such as those of ae.recipes.iwae; "
            "run.reconstruct(x, observed=…) fills in by the code alone"
        )
    shape = run.spec.event_shape
    if generation.is_autoregressive(run.model, run.variables, shape, None):
        raise PartError(
            "imputation needs a decoder that does not read x itself, got "
            f"'{getattr(run.model.decoder.node, 'name', 'one of your own')}', which does"
        )
    back = jax.eval_shape(on_device(run.preprocessing).invert, np.zeros((1, *shape), np.float32))
    if back.shape[1:] != run.data_shape:
        raise PartError(
            f"imputation needs preprocessing that can be undone, got {back.shape[1:]} back for "
            f"examples of shape {run.data_shape}"
        )


def _classes(run: Any) -> np.ndarray | None:
    """How many classes each entry has, 0 of numbers, `[*event]`; None if all are numbers."""
    score, spec = run.model.likelihood.score, run.spec
    if score is None:
        return None
    if spec.kind == "tokens":
        return np.full(spec.event_shape, spec.num_classes or 0)
    columns = spec.columns or ()
    known = np.array([len(c.categories) for c in columns])
    if known.any():
        return known
    variables = jax.eval_shape(lambda: run.variables)
    like = lambda shape: jax.ShapeDtypeStruct(shape, np.float32)
    y = like(run.model.likelihood.parameter_shape(spec.event_shape))
    params = variables.params.get("likelihood", {})
    if "accuracy" in jax.eval_shape(score, params, y, like(spec.event_shape), None):
        raise PartError(
            "imputation must know which columns are categories and how many there are: pass a "
            "table whose columns say so, ae.data.csv or a pandas DataFrame of category columns"
        )
    return None
