"""The categorical log-likelihood of tokens."""

import chex
import jax
import jax.numpy as jnp

from ae_jax.losses._observed import sum_over_observed


def categorical_nll(
    x: chex.Array, logits: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Categorical negative log-likelihood (cross-entropy), -Σ log softmax(l)ₓ, in nats.

    Args:
      x: class indices 0 … K - 1, `[*event]`, integers or floats that hold whole numbers; an index
        outside gives NaN.
      logits: l, unnormalised log-probabilities, `[*event, K]`.
      observed: bool `[*event]`, False for padding; None: all.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if logits do not have the shape of x and one axis more, or `observed` is not
        boolean.

    >>> float(categorical_nll(jnp.array([0, 3]), jnp.zeros((2, 4))))
    2.7726
    """

    def cost(token: jax.Array, logit: jax.Array) -> jax.Array:
        index = jnp.expand_dims(jnp.round(token).astype(jnp.int32), -1)
        # Negative indices would count from the end.
        index = jnp.where(index < 0, logit.shape[-1], index)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logit), index, axis=-1, mode="fill")
        return -jnp.squeeze(chosen, -1)

    return sum_over_observed(cost, observed, x, components=True, logits=logits)
