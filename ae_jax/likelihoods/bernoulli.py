"""Bernoulli pixels, from logits."""

import jax

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.likelihoods._checks import require_range
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def bernoulli() -> Likelihood:
    """Log p(x | z) = Σ x log σ(l) + (1 - x) log(1 - σ(l)), with logits l from the decoder.

    The decoder emits the event's shape. Data must lie in [0, 1]; values strictly between are
    accepted (cross-entropy with grey levels), but the result is a log-probability only for 0 and 1.
    Stable for logits within ±1e4.

    Returns:
      A Likelihood; the decoder emits logits of the event's shape.

    Example:
      >>> import ae_jax as ae
      >>> import jax.numpy as jnp
      >>> likelihood = ae.likelihoods.bernoulli()
      >>> log_prob = likelihood.log_prob({}, jnp.zeros(2), jnp.array([0.0, 1.0]), None)
      >>> round(float(log_prob), 4)  # 2 log ½
      -1.3863
    """

    def validate(x):
        require_range("bernoulli", x, 0, 1, "scale the data or use the gaussian likelihood")

    return Likelihood(
        parameter_shape=lambda event_shape: event_shape,
        init=lambda key: {},
        log_prob=lambda params, y, x, observed: -losses.binary_cross_entropy(y, x, observed),
        mean=lambda params, y: jax.nn.sigmoid(y),
        mode=lambda params, y: (y > 0).astype(y.dtype),
        sample=lambda params, y, key: jax.random.bernoulli(key, jax.nn.sigmoid(y)).astype(y.dtype),
        validate=validate,
        discrete=True,
    )
