"""The continuous Bernoulli distribution on [0, 1] in its natural parameter, the logit.

Loaiza-Ganem & Cunningham, "The continuous Bernoulli: fixing a pervasive error in variational
autoencoders", NeurIPS 2019. With l = log λ/(1 - λ) their density C(λ) λˣ (1 - λ)¹⁻ˣ is
exp(l x) / ∫₀¹ exp(l t) dt, an exponential tilted to the right (l > 0) or left (l < 0).
"""

import chex
import jax
import jax.numpy as jnp

from ae_jax.losses._exponentials import log_exponential_ratio
from ae_jax.losses._observed import sum_over_observed
from ae_jax.losses._precision import at_least_float32


def continuous_bernoulli_nll(
    x: chex.Array, logits: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Continuous Bernoulli negative log-likelihood, Σ [log ((eˡ - 1) / l) - l x], in nats.

    Written |l| t - log(|l| / (1 - e^-|l|)) with t = 1 - x for l ≥ 0 and x below, the last term by
    its Taylor series near l = 0 (λ = ½): value and gradient are finite for any finite logit.

    Args:
      x: values in [0, 1], `[*event]`.
      logits: l, `[*event]`.
      observed: bool `[*event]`, entries that count; None: all.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(continuous_bernoulli_nll(jnp.array([0.2, 0.9]), jnp.zeros(2)))
    0.0
    """

    def cost(target: jax.Array, logit: jax.Array) -> jax.Array:
        size, right = _size_and_side(logit)
        distance = jnp.where(right, 1 - target, target)
        return size * distance - log_exponential_ratio(size)

    return sum_over_observed(cost, observed, x, logits=logits)


def continuous_bernoulli_mean(logits: chex.Array) -> jax.Array:
    """The mean, 1 / (1 - e⁻ˡ) - 1 / l, which is ½ at l = 0 and not σ(l) anywhere else.

    Args:
      logits: l, any shape.

    Returns:
      Of the shape of logits, in (0, 1).

    >>> continuous_bernoulli_mean(jnp.array([-10.0, 0.0, 10.0])).round(4).tolist()
    [0.1000, 0.5, 0.9000]
    """
    (logits,) = at_least_float32(logits)
    size, right = _size_and_side(logits)
    # The log-density at its peak; its slope in |l| is the mean's distance from there.
    distance = jax.grad(lambda a: jnp.sum(log_exponential_ratio(a)))(size)
    return jnp.where(right, 1 - distance, distance)


def continuous_bernoulli_quantile(u: chex.Array, logits: chex.Array) -> jax.Array:
    """The inverse of the distribution function, log(1 + u (eˡ - 1)) / l, which is u at l = 0.

    Args:
      u: probabilities in [0, 1), of the shape of logits.
      logits: l, any shape.

    Returns:
      Of the shape of logits, in [0, 1].
    """
    u, logits = at_least_float32(u, logits)
    size, right = _size_and_side(logits)
    # By symmetry the quantile of l > 0 is the other end's of -l; below 1e-6 it is u to 1e-7.
    tail = jnp.where(right, 1 - u, u)
    safe = jnp.maximum(size, 1e-6)
    distance = jnp.minimum(-jnp.log1p(tail * jnp.expm1(-safe)) / safe, 1)
    return jnp.where(right, 1 - distance, distance)


def _size_and_side(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """|l|, with slope 1 at 0 as the right-hand side has it, and whether l ≥ 0."""
    right = logits >= 0
    return jnp.where(right, logits, -logits), right
