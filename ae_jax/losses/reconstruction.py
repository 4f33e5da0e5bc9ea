"""Reconstruction losses of one example, in nats up to the constants of the implied likelihood.

Each sums over the whole event, of any shape, and gives one number; `jax.vmap` makes a batch of
them. Entries where `observed` is False cost nothing in value and gradient, whatever they hold, NaN
included.
"""

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_mask, require_positive, require_same_shape
from ae_jax.losses._absolute import absolute
from ae_jax.losses._observed import sum_over_observed
from ae_jax.losses._precision import at_least_float32


def squared_error(
    x: chex.Array, reconstruction: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Sum of squared errors, Σ (x − x̂)²: no factor of a half and no mean over the event.

    Half of it is the negative log-likelihood of a unit-variance Gaussian without its constant.

    Args:
      x: the target, `[*event]`.
      reconstruction: x̂, `[*event]`.
      observed: bool `[*event]`; None means that all entries are observed.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(squared_error(jnp.zeros(3), jnp.array([1.0, 2.0, 2.0])))
    9.0
    """
    cost = lambda x, r: jnp.square(x - r)
    return sum_over_observed(cost, observed, x, reconstruction=reconstruction)


def absolute_error(
    x: chex.Array, reconstruction: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Sum of absolute errors, Σ |x − x̂|; its gradient is zero where they are equal.

    It is the negative log-likelihood of a unit-scale Laplace distribution without its constant.

    Args:
      x: the target, `[*event]`.
      reconstruction: x̂, `[*event]`.
      observed: bool `[*event]`; None means that all entries are observed.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(absolute_error(jnp.zeros(3), jnp.array([1.0, -2.0, 2.0])))
    5.0
    """
    cost = lambda x, r: absolute(x - r)
    return sum_over_observed(cost, observed, x, reconstruction=reconstruction)


def huber(
    x: chex.Array,
    reconstruction: chex.Array,
    observed: chex.Array | None = None,
    *,
    delta: float = 1.0,
) -> jax.Array:
    """Huber's loss: Σ ½e² where |e| ≤ δ and δ(|e| − ½δ) beyond, with e = x − x̂.

    Huber, "Robust Estimation of a Location Parameter", 1964.

    Args:
      x: the target, `[*event]`.
      reconstruction: x̂, `[*event]`.
      observed: bool `[*event]`; None means that all entries are observed.
      delta: δ > 0, the error at which the loss turns from quadratic to linear.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ, `observed` is not boolean, or `delta` is not positive.

    >>> float(huber(jnp.zeros(2), jnp.array([1.0, 4.0])))
    4.0
    """
    require_positive(delta=delta)

    def cost(target: jax.Array, prediction: jax.Array) -> jax.Array:
        # Squares of huge errors are never formed, and the quadratic branch has a gradient of its
        # own: beside δ (|e| - |e|), which is zero in value, a large δ would drown it.
        error = absolute(target - prediction)
        inside = error <= delta
        quadratic = 0.5 * jnp.square(jnp.where(inside, error, delta))
        return quadratic + jnp.where(inside, 0.0, delta * (error - delta))

    return sum_over_observed(cost, observed, x, reconstruction=reconstruction)


def binary_cross_entropy(
    logits: chex.Array, x: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Bernoulli negative log-likelihood, −Σ [x log σ(l) + (1 − x) log(1 − σ(l))], in nats.

    Written max(l, 0) − l·x + log1p(exp(−|l|)): value and gradient are finite for any finite logit.
    A target strictly between 0 and 1 gives the cross entropy, not a normalised likelihood; a target
    outside [0, 1] makes the loss unbounded below.

    Args:
      logits: l, the log-odds, `[*event]`.
      x: the target in [0, 1], `[*event]`.
      observed: bool `[*event]`; None means that all entries are observed.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(binary_cross_entropy(jnp.array([1e4, -1e4]), jnp.array([1.0, 1.0])))
    10000.0
    """
    return sum_over_observed(_cross_entropy, observed, x, logits=logits)


@jax.custom_jvp
def _cross_entropy(target: jax.Array, logit: jax.Array) -> jax.Array:
    return jnp.maximum(logit, 0) - logit * target + jnp.log1p(jnp.exp(-jnp.abs(logit)))


@_cross_entropy.defjvp
def _(primals, tangents):
    # The terms' own rules keep five arrays, and the second derivative they give at l = 0 is wrong.
    (target, logit), (target_dot, logit_dot) = primals, tangents
    slope = jax.nn.sigmoid(logit) - target
    return _cross_entropy(target, logit), slope * logit_dot - logit * target_dot


def cosine_distance(
    x: chex.Array, reconstruction: chex.Array, observed: chex.Array | None = None
) -> jax.Array:
    """Cosine distance over the flattened event, 1 − x·x̂ / (‖x‖ ‖x̂‖), in [0, 2].

    Computed as ½‖x/‖x‖ − x̂/‖x̂‖‖², which neither cancels near zero nor turns negative, after scaling
    both by their largest entry, so that norms neither overflow nor underflow. A vector of zeros has
    no direction: against another such vector the distance is 0, against any other 1, both with zero
    gradient.

    Args:
      x: the target, `[*event]`.
      reconstruction: x̂, `[*event]`.
      observed: bool `[*event]`; None means that all entries are observed. The angle is taken in the
        observed coordinates only.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError: if the shapes differ or `observed` is not boolean.

    >>> float(cosine_distance(jnp.array([2.0, 0.0]), jnp.array([0.0, 3.0])))
    1.0
    """
    require_same_shape(x=x, reconstruction=reconstruction)
    require_mask(observed, x)
    x, reconstruction = at_least_float32(x, reconstruction)
    if observed is not None:
        seen = lambda v: jnp.where(observed, v, jnp.zeros_like(v))
        x, reconstruction = seen(x), seen(reconstruction)
    direction, nonzero = _unit(reconstruction)
    target, target_nonzero = _unit(x)
    distance = 0.5 * jnp.sum(jnp.square(target - direction))
    one = jnp.ones((), distance.dtype)
    return jnp.where(nonzero == target_nonzero, distance, one)


def _unit(vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The vector over its norm, or zeros with no gradient, and whether it is not zero."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(vector), initial=0.0))
    nonzero = largest > 0
    scaled = vector / jnp.where(nonzero, largest, jnp.ones_like(largest))
    square = jnp.sum(jnp.square(scaled))
    norm = jnp.sqrt(jnp.where(nonzero, square, jnp.ones_like(square)))
    return jnp.where(nonzero, scaled / norm, jnp.zeros_like(scaled)), nonzero
