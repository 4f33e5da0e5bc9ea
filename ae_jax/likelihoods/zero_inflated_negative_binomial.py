"""Overdispersed counts with more zeros than those have, as of single cells."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.likelihoods._counts import (
    draw_negative_binomial,
    mode_of_negative_binomial,
    of_counts,
)
from ae_jax.types import Array, Likelihood


@LIKELIHOODS.register
def zero_inflated_negative_binomial(
    mean: float | Sequence[float] | None = None, view: str = "log1p", library: bool = False
) -> Likelihood:
    """Log p(x | z) of counts that are 0 with probability π, and otherwise negative binomial.

    log p = Σ log [π · 1(x = 0) + (1 - π) NB(x; m, α)] (Lopez et al., "Deep generative modeling for
    single-cell transcriptomics", 2018; α is one over their θ). The decoder emits log m - log mean,
    log α and the logit of π side by side on a tripled last axis; log m and log α are kept smoothly
    within ±30 and ±20. Data are counts as they are: use `preprocessing.none()`. The mean is
    (1 - π) m; the mode is 0 or ⌊m (1 - α)⌋, whichever is more probable.

    Args:
      mean: m of a decoder that emits 0, see `poisson`; None: the means of the training data.
      view: what the networks read of x, "log1p" or "identity", see `poisson`.
      library: whether an example's library size multiplies its m, see `poisson`.

    Returns:
      A Likelihood.

    Raises:
      ConfigError: a mean that is not above zero, an unknown view, or a library size of one count.

    Example:
      >>> import ae_jax as ae
      >>> genes = ae.likelihoods.zero_inflated_negative_binomial(library=True)
      >>> genes.parameter_shape((2000,))
      (6000,)
    """

    def functions(counts):
        def split(y):
            log_mean, log_dispersion, logit = counts.split(y)
            return log_mean, losses.bounded_log_var(log_dispersion), logit

        def mode(params, y):
            log_mean, log_dispersion, logit = split(y)
            some = mode_of_negative_binomial(log_mean, log_dispersion)
            log_prob = lambda x: _by_entry(log_mean, log_dispersion, logit, x)
            return jnp.where(log_prob(some) > log_prob(jnp.zeros_like(some)), some, 0)

        def mean_of(params, y):
            log_mean, _, logit = split(y)
            return jnp.exp(log_mean - jax.nn.softplus(logit))

        def sample(params, y, key):
            log_mean, log_dispersion, logit = split(y)
            zero_key, count_key = jax.random.split(key)
            zero = jax.random.bernoulli(zero_key, jax.nn.sigmoid(logit))
            return jnp.where(zero, 0, draw_negative_binomial(count_key, log_mean, log_dispersion))

        def log_prob(params, y, x, observed):
            return losses.zero_inflated_negative_binomial(*split(y), x, observed)

        return {"log_prob": log_prob, "mean": mean_of, "mode": mode, "sample": sample}

    return of_counts(zero_inflated_negative_binomial, 3, (mean, view, library), functions)


def _by_entry(*arrays: Array) -> Array:
    one = lambda *entries: losses.zero_inflated_negative_binomial(*(e[None] for e in entries))
    return jax.vmap(one)(*map(jnp.ravel, arrays)).reshape(arrays[0].shape)
