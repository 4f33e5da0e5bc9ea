"""Overdispersed counts, from log-means and log-dispersions."""

from collections.abc import Sequence

import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.likelihoods._counts import (
    draw_negative_binomial,
    mode_of_negative_binomial,
    of_counts,
)
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def negative_binomial(
    mean: float | Sequence[float] | None = None, view: str = "log1p", library: bool = False
) -> Likelihood:
    """Log p(x | z) of counts with mean m and variance m + α m², α the dispersion.

    log p = Σ [log Γ(x + r) - log Γ(r) - log x! + r log r/(r + m) + x log m/(r + m)] with r = 1/α
    (Hilbe, "Negative Binomial Regression", 2011: the NB2 form). It is a Poisson whose rate is
    gamma-distributed, and the Poisson likelihood where α is small. The decoder emits log m - log
    mean and log α side by side on a doubled last axis; log m and log α are kept smoothly within ±30
    and ±20. Data are counts 0, 1, 2, … as they are, which float32 holds up to 2²⁴: use
    `preprocessing.none()`. The mode is ⌊m (1 - α)⌋, 0 for α ≥ 1.

    Args:
      mean: counts from which the decoder starts, see `poisson`; None: the means of the data.
      view: what the networks read of x, "log1p" or "identity", see `poisson`.
      library: whether an example's library size multiplies its means, see `poisson`.

    Returns:
      A Likelihood.

    Raises:
      ConfigError: a mean that is not above zero, an unknown view, or a library size of one count.

    Example:
      >>> import ae_jax as ae
      >>> genes = ae.likelihoods.negative_binomial(library=True)
      >>> genes.parameter_shape((2000,))
      (4000,)
    """

    def functions(counts):
        def split(y):
            log_mean, log_dispersion = counts.split(y)
            return log_mean, losses.bounded_log_var(log_dispersion)

        return {
            "log_prob": lambda params, y, x, observed: (
                -losses.negative_binomial_nll(x, *split(y), observed)
            ),
            "mean": lambda params, y: jnp.exp(split(y)[0]),
            "mode": lambda params, y: mode_of_negative_binomial(*split(y)),
            "sample": lambda params, y, key: draw_negative_binomial(key, *split(y)),
        }

    return of_counts(negative_binomial, 2, (mean, view, library), functions)
