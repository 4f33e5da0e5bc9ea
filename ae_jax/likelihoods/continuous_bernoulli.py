"""Continuous Bernoulli pixels in [0, 1], from logits."""

import jax

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.likelihoods._checks import require_range
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def continuous_bernoulli() -> Likelihood:
    """Log p(x | z) = Σ [l x - log ((eˡ - 1) / l)], with logits l from the decoder.

    The Bernoulli likelihood with the constant that makes it a density on [0, 1] (Loaiza-Ganem &
    Cunningham 2019). The decoder emits the event's shape. The mean is 1 / (1 - e⁻ˡ) - 1 / l, not
    σ(l); the mode is 0 or 1 (at l = 0, where all values are equally likely, 0). Data must lie in
    [0, 1]. Stable for logits within ±1e4.

    Returns:
      A Likelihood; the decoder emits logits of the event's shape.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> likelihood = ae.likelihoods.continuous_bernoulli()
      >>> jax.jit(likelihood.mean)({}, jnp.zeros(2)).tolist()  # uniform on [0, 1]
      [0.5, 0.5]
    """

    def sample(params, y, key):
        (y,) = at_least_float32(y)
        uniform = jax.random.uniform(key, y.shape, y.dtype)
        return losses.continuous_bernoulli_quantile(uniform, y)

    def validate(x):
        require_range("continuous_bernoulli", x, 0, 1, "scale the data to [0, 1]")

    return Likelihood(
        parameter_shape=lambda event_shape: event_shape,
        init=lambda key: {},
        log_prob=lambda params, y, x, observed: -losses.continuous_bernoulli_nll(x, y, observed),
        mean=lambda params, y: losses.continuous_bernoulli_mean(y),
        mode=lambda params, y: (y > 0).astype(y.dtype),
        sample=sample,
        validate=validate,
    )
