"""A codebook that follows moving averages of what its codes stand for, and one that is started."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import losses, ops
from ae_jax.errors import ConfigError
from ae_jax.types import Array, PRNGKey, Tree

LEAST = 1e-20  # a count below which the mean of what a code stands for is lost to rounding
TURNS = 10  # of k-means: what is left is for the moving averages
TINY = 1e-12  # the squared length below which a vector has no direction


class Averages(NamedTuple):
    """How a codebook follows its vectors.

    Attributes:
      decay: γ of the moving averages.
      dead_below: the share of the mean count below which a code is replaced.
      smoothing: what Laplace smoothing adds to each count.
      cosine: whether codes have unit length.
    """

    decay: float
    dead_below: float
    smoothing: float = 0.0
    cosine: bool = False


def require_averages(decay: float | None, dead_below: float, smoothing: float = 0.0) -> None:
    """Raises ConfigError for the first of them that lies outside its range."""
    if decay is not None and not 0 <= decay < 1:
        raise ConfigError(f"decay must lie in [0, 1) or be None, got {decay!r}")
    if not 0 <= dead_below < 1:
        raise ConfigError(f"dead_below must lie in [0, 1), got {dead_below!r}")
    if not 0 <= smoothing < 1:
        raise ConfigError(f"smoothing must lie in [0, 1), got {smoothing!r}")


def unit(vectors: Array) -> Array:
    """The vectors along the last axis at length 1, with a finite gradient at 0 too."""
    square = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(square, TINY))


def fresh(codebook: Array, counts: Array | None = None) -> dict[str, Array]:
    """The state of a codebook whose averages begin."""
    if counts is None:
        return {"codebook": codebook, "counts": jnp.ones(len(codebook)), "sums": codebook}
    return {"codebook": codebook, "counts": counts, "sums": counts[:, None] * codebook}


def sums_of(features: Array, codes: Array, numbers: Array, size: int) -> dict[str, Array]:
    """How many vectors each code stands for, their sum, and their squared distances from it."""
    features, codes = jax.lax.stop_gradient((features, codes))
    dimension = codes.shape[-1]
    rows = lambda v: v.reshape(-1, dimension).astype(jnp.float32)
    errors = jnp.sum(jnp.square(rows(features) - rows(codes)), axis=1)
    total = lambda v: ops.codebook.sums_by_number(v, numbers.reshape(-1), size)
    return {
        "counts": total(jnp.ones_like(errors)),
        "sums": total(rows(features)),
        "errors": total(errors),
    }


def updated(state: Tree, sums: Tree, key: PRNGKey, how: Averages) -> dict[str, Array]:
    """The averages moved by the sums of a step, with dead codes replaced."""
    return _replaced(_averaged(state, sums, how), sums, key, how)


def _averaged(state: Tree, sums: Tree, how: Averages) -> dict[str, Array]:
    mix = lambda old, new: how.decay * old + (1 - how.decay) * new
    counts, totals = mix(state["counts"], sums["counts"]), mix(state["sums"], sums["sums"])
    divisor = counts
    if how.smoothing:
        total = jnp.sum(counts)
        divisor = (counts + how.smoothing) * total / (total + len(counts) * how.smoothing)
    used = counts[:, None] > LEAST
    means = totals / jnp.where(used, divisor[:, None], 1)
    means = unit(means) if how.cosine else means
    return {
        "codebook": jnp.where(used, means, state["codebook"]),
        "counts": counts,
        "sums": totals,
    }


def _replaced(state: Tree, sums: Tree, key: PRNGKey, how: Averages) -> dict[str, Array]:
    codebook, counts = state["codebook"], state["counts"]
    mean = jnp.mean(counts)
    dead = (counts < how.dead_below * mean) & jnp.any(sums["counts"] > 0)
    which, where = jax.random.split(key)
    parents = _by_share(which, sums["counts"])
    variance = sums["errors"] / (jnp.maximum(sums["counts"], 1) * codebook.shape[1])
    noise = jax.random.normal(where, codebook.shape)
    drawn = codebook[parents] + jnp.sqrt(variance)[parents, None] * noise
    drawn = unit(drawn) if how.cosine else drawn
    put = lambda new, old: jnp.where(dead.reshape(dead.shape + (1,) * (old.ndim - 1)), new, old)
    return {
        "codebook": put(drawn, codebook),
        "counts": put(mean, counts),
        "sums": put(mean * drawn, state["sums"]),
    }


def _by_share(key: PRNGKey, counts: Array) -> Array:
    """As many numbers as there are counts, each drawn by its count's share of the total."""
    # By the inverse of their distribution: Gumbel noise would be a square of the codebook's size.
    ends = jnp.cumsum(counts)
    drawn = jax.random.uniform(key, counts.shape) * ends[-1]
    return jnp.minimum(jnp.searchsorted(ends, drawn, side="right"), len(counts) - 1)


def k_means(
    vectors: Array, num_codes: int, key: PRNGKey, normalise: Callable[[Array], Array] | None = None
) -> tuple[Array, Array]:
    """Centres of the vectors and how many each stands for (Lloyd 1982), from as many drawn ones.

    Args:
      vectors: `[n, *positions, d]`, of n examples.
      num_codes: how many centres.
      key: of the draw, without replacement.
      normalise: what is done to each new centre.

    Returns:
      `[num_codes, d]` and `[num_codes]`; a centre that is left without vectors stays where it is.

    Raises:
      ConfigError: there are fewer vectors than codes.
    """
    require_enough(num_codes, vectors.shape)
    normalise = (lambda v: v) if normalise is None else normalise
    rows = vectors.reshape(-1, vectors.shape[-1])
    drawn = rows[jax.random.choice(key, len(rows), (num_codes,), replace=False)]

    def turn(_, found):
        codebook, _ = found
        numbers = losses.nearest_codes(rows, codebook)
        total = lambda v: jax.ops.segment_sum(v, numbers, num_codes)
        counts = total(jnp.ones(len(rows)))
        means = normalise(total(rows) / jnp.maximum(counts, 1)[:, None])
        return jnp.where(counts[:, None] > 0, means, codebook), counts

    return jax.lax.fori_loop(0, TURNS, turn, (drawn, jnp.zeros(num_codes)))


def require_enough(num_codes: int, shape: Any) -> None:
    """Raises ConfigError where `[n, *positions, d]` vectors are fewer than codes to be drawn."""
    examples, positions = shape[0], math.prod(shape[1:-1])
    if (vectors := examples * positions) < num_codes:
        raise ConfigError(
            f"num_codes={num_codes} codes cannot be drawn from the {vectors} vectors of the first "
            f"batch ({examples} examples of {positions}): take num_codes={vectors} or fewer, a "
            f"batch of {-(-num_codes // positions)} or more, or kmeans=False"
        )
