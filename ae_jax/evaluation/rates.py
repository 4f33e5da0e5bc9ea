"""What examples cost to describe: rate, distortion and the bound on log p(x)."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import keys
from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data.batches import to_batch
from ae_jax.data.source import Records, as_numpy, pieces, readable
from ae_jax.distributions import conditioned, kl_divergence
from ae_jax.errors import PartError
from ae_jax.evaluation.bits import NOTES, Bits, bits_per_dim
from ae_jax.evaluation.likelihood import over_importance_samples
from ae_jax.precision import compiled_in_float32
from ae_jax.types import Batch


class Rates(NamedTuple):
    """What a code costs and what it leaves to be told, of n examples; nats, float64 `[n]`.

    Attributes:
      rate: KL(q(z | x) ‖ p(z)), what the code costs under the prior.
      distortion: -E log p(x | z) under q(z | x), what it costs to tell x given the code.
    """

    rate: np.ndarray
    distortion: np.ndarray

    def to_dict(self) -> dict[str, float]:
        """Means over examples; their sum is the negative ELBO."""
        return {"rate": float(self.rate.mean()), "distortion": float(self.distortion.mean())}


class Bound(NamedTuple):
    """Importance-weighted bounds on log p(x) of n examples, each `[n]`, float64.

    Attributes:
      log_px: of the preprocessed x, nats.
      coded: of what bits are counted for, in the data's own units, nats: see `likelihood_bound`;
        None where there is nothing to count, and `what` says why.
      dimensions: how many entries are observed.
      samples: k.
      what: "mass" of discrete values, "dequantised" for the mass of integers by a density, or
        "density", whose bits change with the data's units.
    """

    log_px: np.ndarray
    coded: np.ndarray | None
    dimensions: np.ndarray
    samples: int
    what: str

    @property
    def bits_per_dim(self) -> float:
        """See `bits_per_dim`.

        Raises:
          PartError: there is nothing to count.
        """
        if self.coded is None:
            raise PartError(self.what)
        return bits_per_dim(self.coded, self.dimensions)

    @property
    def note(self) -> str | None:
        """What is to be known of these bits, if anything."""
        return NOTES.get(self.what)

    def to_dict(self) -> dict[str, float]:
        """The rows of a table."""
        rows = {f"neg_log_likelihood_k{self.samples}": -float(self.log_px.mean())}
        return rows if self.coded is None else rows | {"bits_per_dim": self.bits_per_dim}


def examples(run: Any, data: Any = None) -> Iterator[tuple[Records, np.ndarray]]:
    """A split's readable examples, some thousands at a time, each once, and their places in it.

    Args:
      run: a Run.
      data: as for `Run.evaluate`.
    """
    first = 0
    for piece in pieces(run.split(data)):
        piece = as_numpy(readable(piece))
        yield piece, np.arange(first, first + len(piece.x), dtype=np.uint32)
        first += len(piece.x)


@compiled_in_float32()
def rate_distortion(run: Any, data: Any = None, samples: int = 1, seed: int = 0) -> Rates:
    """Rate and distortion of a split (Alemi et al. 2018, "Fixing a Broken ELBO").

    The rate is in closed form where one is known (diagonal Gaussians), else the mean of log q(z |
    x) - log p(z) over the samples; of a vector-quantised code under a uniform prior it is positions
    · log codes. x is not corrupted.

    Args:
      run: a Run of a model with a posterior density and a prior.
      data: `[n, *event]`, a source such as `ae.data.load(…).test`, or None: the test split of the
        run's own data source.
      samples: z an example, over which the distortion is averaged.
      seed: of the samples; the same on any number of devices.

    Returns:
      A Rates.

    Raises:
      PartError: the model has no such densities.
    """
    require_positive_ints(samples=samples)
    require_bound(run)

    def cost(shared, records, places):
        variables, batch, example_keys = drawn_batch(run, shared, records, places)

        def add(total, drawn, key):
            used = drawn.number < samples
            sums = lambda v: jnp.sum(jnp.where(used, v, 0))
            px, weight = sums(drawn.log_px), sums(drawn.log_weight)
            return total[0] + px, total[1] + px - weight

        start = jnp.zeros(()), jnp.zeros(())
        row = run.model, variables, batch, example_keys, samples
        px, rate = over_importance_samples(*row, start, add)
        posterior = run.model.posterior(variables, batch.x, batch.observed, dict(batch.extras))
        prior = run.model.prior(variables)
        closed = lambda q, extras: kl_divergence(q, conditioned(prior, extras))
        exact = jax.vmap(closed)(posterior, dict(batch.extras))
        return (rate / samples if exact is None else exact), -px / samples

    parts = _over_split(run, f"rate {samples}", cost, data, seed)
    return Rates(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@compiled_in_float32()
def likelihood_bound(run: Any, data: Any = None, samples: int = 64, seed: int = 0) -> Bound:
    """The importance-weighted bound on log p(x) of a split, and the bits a dimension that it means.

    What bits are counted for is told by the likelihood and the data's dtype:

    - of discrete likelihoods (Bernoulli, categorical, counts, discretised logistics), the mass of x
      as it is: units do not matter;
    - of a density on floats, log p of the data in their own units: log p of the preprocessed x' and
      log |∂x'/∂x|, which is -Σ log s for x' = (x - c) / s;
    - of a density on integers, the mass of x as the density's integral over [x - ½, x + ½], bounded
      by log p of x + u with one u ~ U(-½, ½) an entry (uniform dequantisation, Theis, van den Oord
      and Bethge 2016, "A note on the evaluation of generative models"), again in the data's units.
      A density at integers alone has no such meaning: it can be as high as one likes.

    Missing entries count neither as nats nor as dimensions. Padding that the preprocessing adds
    counts as nats, being modelled, but not as dimensions. Of grey levels under a Bernoulli
    likelihood, which is no mass of them, the bits mean nothing: binarise.

    Args:
      run: a Run of a model with a prior.
      data: see `rate_distortion`.
      samples: k, exactly; 5,000 need no more memory than 16.
      seed: of the samples; the same on any number of devices.

    Returns:
      A Bound; without bits where the preprocessing of a density has no derivative or dequantised
      integers are outside its support.

    Raises:
      PartError: the model has no such densities.
    """
    require_positive_ints(samples=samples)
    require_seed(seed=seed)
    require_bound(run)
    measure = Bits.of(run)
    parts = []
    for i, (piece, _) in enumerate(examples(run, data)):
        bound = functools.partial(
            run.log_likelihood,
            samples=samples,
            seed=(seed + i) % 2**32,
            observed=piece.observed,
            extras=piece.extras,
        )
        log_px = np.asarray(bound(piece.x), np.float64)
        seen = _observed(run, piece)
        noisy, measure = measure.dequantised(run, piece, seed + i)
        coded = log_px if noisy is piece.x else np.asarray(bound(noisy), np.float64)
        jacobian = np.where(seen, measure.log_slopes, 0).reshape(len(seen), -1).sum(axis=1)
        inside = np.ones(piece.x.shape, bool) if piece.observed is None else piece.observed
        count = lambda mask: mask.reshape(len(mask), -1).sum(axis=1)
        parts.append((log_px, coded + jacobian, np.minimum(count(inside), count(seen))))
    log_px, coded, dimensions = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Bound(log_px, coded if measure.counted else None, dimensions, samples, measure.what)


def _observed(run: Any, piece: Records) -> np.ndarray:
    """Which entries are observed, in the model's shape, bool `[n, *event]`."""
    shape = (len(piece.x), *run.spec.event_shape)
    if piece.observed is None:
        return np.ones(shape, bool)
    return np.broadcast_to(np.asarray(run.preprocessing.observed(piece.observed)), shape)


def require_bound(run: Any) -> None:
    """Raises PartError unless log p(x) has a bound; see `has_bound`."""
    if not run.has_bound:
        raise PartError(
            "rates and bounds on log p(x) need densities of prior, posterior and likelihood, as "
            "those of ae.recipes.vae; for the error of another autoencoder see run.evaluate()"
        )


def drawn_batch(run: Any, shared: Any, records: Records, places: Any) -> tuple[Any, Batch, Any]:
    """Variables, the batch as evaluation preprocesses it, and every example's own key."""
    variables, key = shared[0], jax.random.wrap_key_data(shared[1])
    draws = keys.for_preprocessing(key, None, places, places)
    batch = to_batch(records, places, run.preprocessing, draws)
    return variables, batch, jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places)


def _over_split(run: Any, name: Any, fn: Any, data: Any, seed: int) -> list[Any]:
    """`fn((variables, key), records, places)` of a split's pieces, float64."""
    shared = run.variables, jax.random.key_data(keys.stream(keys.root(seed), "evaluation"))
    wide = lambda tree: jax.tree.map(lambda v: np.asarray(v, np.float64), tree)
    return [wide(run.over_examples(name, fn)(shared, *piece)) for piece in examples(run, data)]
