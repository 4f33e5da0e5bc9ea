"""What evaluation reports of a reconstruction, whatever the likelihood."""

from collections.abc import Callable

import jax.numpy as jnp

from ae_jax.types import Array, Likelihood


def score_of(likelihood: Likelihood) -> Callable[..., dict[str, tuple[Array, Array]]]:
    """The likelihood's own score, or else the squared error of its mean.

    Returns:
      `(params, y, x, observed) -> {name: (sum, count)}` over the observed entries of one example.
    """

    def squared_error(params, y, x, observed):
        seen = jnp.ones(x.shape) if observed is None else observed.astype(jnp.float32)
        error = jnp.where(seen > 0, likelihood.mean(params, y) - x, 0.0)
        return {"mse": (jnp.sum(error**2), jnp.sum(seen))}

    return likelihood.score or squared_error
