"""Poisson counts, from log-rates."""

from collections.abc import Sequence

import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.likelihoods._counts import draw_poisson, of_counts
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def poisson(
    mean: float | Sequence[float] | None = None, view: str = "log1p", library: bool = False
) -> Likelihood:
    """Log p(x | z) = Σ [x log λ - λ - log x!], with log-rates log λ from the decoder.

    The decoder emits the event's shape; log λ = log mean + its output, kept smoothly within ±30, so
    that values and gradients stay finite. Data are counts 0, 1, 2, … as they are, which float32
    holds up to 2²⁴: use `preprocessing.none()`. λ is the mean, ⌊λ⌋ the mode; samples of rates above
    2¹⁸ are rounded normal ones.

    Args:
      mean: the rate of a decoder that emits 0, above zero: one number, or one a feature of the last
        axis. None: 1, and `fit` puts the means of the training data in its place, so that a run
        starts from their independent fit.
      view: what the networks read of x: "log1p", log(1 + x) less log(1 + mean) where that is known,
        without which counts in the thousands drive them out of all bounds, or "identity".
      library: whether log s is added to the log-rates of an example that is known, with s = Σ x /
        Σ mean over its observed counts: its library size in terms of that of the training data
        (Anders & Huber 2010; Lopez et al. 2018). The likelihood is then that of x given its total.
        Training, evaluation and `reconstruct` take the example's own; `decode` and `sample`, which
        have no example, s = 1: a library of Σ mean counts.

    Returns:
      A Likelihood.

    Raises:
      ConfigError: a mean that is not above zero, an unknown view, or a library size of one count.

    Example:
      >>> import jax.numpy as jnp
      >>> import ae_jax as ae
      >>> float(ae.likelihoods.poisson().log_prob({}, jnp.zeros(1), jnp.array([2.0]), None))
      -1.6931
    """

    def functions(counts):
        log_rate = lambda y: counts.split(y)[0]
        rate = lambda y: jnp.exp(log_rate(y))
        return {
            "log_prob": lambda params, y, x, observed: (
                -losses.poisson_nll(x, log_rate(y), observed)
            ),
            "mean": lambda params, y: rate(y),
            "mode": lambda params, y: jnp.floor(rate(y)),
            "sample": lambda params, y, key: draw_poisson(key, rate(y)),
        }

    return of_counts(poisson, 1, (mean, view, library), functions)
