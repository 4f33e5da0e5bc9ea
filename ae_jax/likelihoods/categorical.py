"""Tokens and other unordered classes, from logits."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.checks import require_positive_ints
from ae_jax.likelihoods._checks import require_whole
from ae_jax.types import Likelihood


@LIKELIHOODS.register
def categorical(num_classes: int) -> Likelihood:
    """Log p(x | z) = Σ log softmax(l)ₓ, with K logits l an entry from the decoder.

    x holds class indices 0 … K - 1, as integers or, as preprocessing leaves them, as floats that
    hold whole numbers: use `preprocessing.none()`. Padding is unobserved. Indices have no
    mean, so that `mean` is the mode: the most probable class, the first of several; its gradient is
    zero. `mean`, `mode` and `sample` return indices as floats.

    Args:
      num_classes: K.

    Returns:
      A Likelihood; for events of shape `(T,)` the decoder emits `(T, K)`.

    Raises:
      ConfigError: num_classes is not a whole number above zero.

    Example:
      >>> import ae_jax as ae
      >>> ae.likelihoods.categorical(num_classes=100).parameter_shape((16,))
      (16, 100)
    """
    require_positive_ints(num_classes=num_classes)

    def as_float(index, y):  # bfloat16 would round indices above 256
        return index.astype(jnp.promote_types(y.dtype, jnp.float32))

    def mode(params, y):
        return as_float(jnp.argmax(y, axis=-1), y)

    def score(params, y, x, observed):
        seen = jnp.ones(x.shape) if observed is None else observed.astype(jnp.float32)
        return {"accuracy": (jnp.sum(seen * (mode(params, y) == x)), jnp.sum(seen))}

    def validate(x):
        instead = "raise num_classes, or keep preprocessing from rescaling the classes"
        require_whole("categorical", x, num_classes - 1, instead)

    return Likelihood(
        parameter_shape=lambda event_shape: (*event_shape, num_classes),
        init=lambda key: {},
        log_prob=lambda params, y, x, observed: -losses.categorical_nll(x, y, observed),
        mean=mode,
        mode=mode,
        sample=lambda params, y, key: as_float(jax.random.categorical(key, y), y),
        validate=validate,
        score=score,
        discrete=True,
    )
