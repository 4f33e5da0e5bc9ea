"""Lower bounds on log p(x) of one example, in nats, from log importance weights.

The weight of a sample z_i ~ q(z | x) is log w_i = log p(x | z_i) + log p(z_i) − log q(z_i | x). All
functions return the bound itself, which is to be *maximised*: the loss is its negative.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from ae_jax.checks import require_rank, require_same_shape, require_unit_interval
from ae_jax.errors import ShapeError
from ae_jax.losses._precision import at_least_float32


def log_importance_weights(
    *, log_px: chex.Array, log_pz: chex.Array, log_qz: chex.Array
) -> jax.Array:
    """Weights log w = log p(x | z) + log p(z) − log q(z | x); by keyword only, as signs differ.

    Args:
      log_px: log p(x | z_i), `[k]` (or `[m, k]`), summed over the event.
      log_pz: log p(z_i), of the same shape, summed over latent dimensions.
      log_qz: log q(z_i | x), of the same shape, summed over latent dimensions.

    Returns:
      log w_i in nats, of that shape.

    Raises:
      ValueError: if the shapes differ.
    """
    require_same_shape(log_px=log_px, log_pz=log_pz, log_qz=log_qz)
    log_px, log_pz, log_qz = at_least_float32(log_px, log_pz, log_qz)
    return log_px + (log_pz - log_qz)


def elbo(log_weights: chex.Array) -> jax.Array:
    """The evidence lower bound, estimated as the mean of log w_i; more samples, less variance only.

    Kingma & Welling, "Auto-Encoding Variational Bayes", 2014.

    Args:
      log_weights: log w_i, `[k]`.

    Returns:
      The bound (not its negative), a scalar, in nats.

    Raises:
      ValueError: if `log_weights` is not `[k]` with k ≥ 1.

    >>> float(elbo(jnp.array([-3.0, -1.0])))
    -2.0
    """
    (log_weights,) = _weights(1, log_weights)
    return jnp.mean(log_weights)


def elbo_from_kl(log_px: chex.Array, kl: chex.Numeric) -> jax.Array:
    """The evidence lower bound with its divergence in closed form: mean_i log p(x | z_i) − KL.

    Args:
      log_px: log p(x | z_i), `[k]`, summed over the event.
      kl: KL(q(z | x) ‖ p(z)), a scalar, in nats.

    Returns:
      The bound (not its negative), a scalar, in nats.

    Raises:
      ValueError: if `log_px` is not `[k]` with k ≥ 1 or `kl` is not a scalar.

    >>> float(elbo_from_kl(jnp.array([-3.0, -1.0]), jnp.asarray(0.5)))
    -2.5
    """
    require_rank(0, kl=kl)
    log_px, kl = _weights(1, log_px, kl)
    return jnp.mean(log_px) - kl


def importance_weighted_bound(log_weights: chex.Array) -> jax.Array:
    """The importance-weighted bound, log (1/k Σ w_i); for k = 1 the ELBO, and tighter with k.

    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", 2016. Differentiated through
    reparameterised samples, it gives their gradient; see `doubly_reparameterized_bound` for one of
    lower variance.

    Args:
      log_weights: log w_i, `[k]`.

    Returns:
      The bound (not its negative), a scalar, in nats.

    Raises:
      ValueError: if `log_weights` is not `[k]` with k ≥ 1.

    >>> float(importance_weighted_bound(jnp.array([-1000.0, -1000.0])))
    -1000.0
    """
    (log_weights,) = _weights(1, log_weights)
    return _importance_weighted(log_weights)


def miwae(log_weights: chex.Array) -> jax.Array:
    """The mean over m of importance-weighted bounds of k samples each.

    Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better", 2018.

    Args:
      log_weights: log w_ij, `[m, k]`.

    Returns:
      The bound (not its negative), a scalar, in nats.

    Raises:
      ValueError: if `log_weights` is not `[m, k]` with m, k ≥ 1.

    >>> float(miwae(jnp.array([[-3.0], [-1.0]])))
    -2.0
    """
    (log_weights,) = _weights(2, log_weights)
    return jnp.mean(_importance_weighted(log_weights))


def ciwae(log_weights: chex.Array, beta: float) -> jax.Array:
    """The convex combination β · ELBO + (1 − β) · IWAE, both of the same k samples.

    Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better", 2018.

    Args:
      log_weights: log w_i, `[k]`.
      beta: β in [0, 1].

    Returns:
      The bound (not its negative), a scalar, in nats.

    Raises:
      ValueError: if `log_weights` is not `[k]` with k ≥ 1 or `beta` is outside [0, 1].

    >>> float(ciwae(jnp.array([-3.0, -1.0]), beta=1.0))
    -2.0
    """
    require_unit_interval(beta=beta)
    (log_weights,) = _weights(1, log_weights)
    return beta * jnp.mean(log_weights) + (1 - beta) * _importance_weighted(log_weights)


def normalized_importance_weights(log_weights: chex.Array) -> jax.Array:
    """w̃_i = w_i / Σ_j w_j over the last axis, without gradient.

    Args:
      log_weights: log w_i, `[..., k]`.

    Returns:
      The weights, of the same shape, summing to one over the last axis.

    >>> [float(w) for w in normalized_importance_weights(jnp.array([-1e4, -1e4]))]
    [0.5, 0.5]
    """
    (log_weights,) = at_least_float32(log_weights)
    return jax.nn.softmax(jax.lax.stop_gradient(log_weights), axis=-1)


def scale_gradient(z: chex.Array, weights: chex.Array) -> jax.Array:
    """z, unchanged in value, whose gradient is multiplied by `weights`.

    Args:
      z: `[k, *latent]`.
      weights: `[k]`, one per sample; no gradient flows to them.

    Returns:
      z, of the same shape and dtype.

    Raises:
      ValueError: if the shape of `weights` is not the beginning of that of z.

    >>> jax.grad(lambda z: scale_gradient(z, jnp.array([0.5])).sum())(jnp.ones(1)).tolist()
    [0.5]
    """
    shape, prefix = jnp.shape(z), jnp.shape(weights)
    if shape[: len(prefix)] != prefix:
        raise ShapeError(f"weights must be [k] for z [k, *latent], got weights {prefix}, z {shape}")
    z = jnp.asarray(z)
    weights = jnp.asarray(weights, z.dtype).reshape(prefix + (1,) * (len(shape) - len(prefix)))
    return _scale_gradient(z, weights)


@jax.custom_jvp
def _scale_gradient(z: jax.Array, weights: jax.Array) -> jax.Array:
    del weights
    return z


@_scale_gradient.defjvp
def _scale_gradient_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    z, weights = primals
    return z, jax.lax.stop_gradient(weights) * tangents[0]


def doubly_reparameterized_bound(
    log_weights: Callable[[jax.Array], jax.Array], z: jax.Array
) -> jax.Array:
    """The importance-weighted bound, with the doubly reparameterised gradient (DReG).

    With w̃_i the normalised weights, held constant, the gradients are

        decoder, prior  Σ w̃_i  ∂ log w_i / ∂θ
        posterior       Σ w̃_i² (∂ log w_i / ∂z_i) (∂z_i / ∂φ)

    the second without the score term of log q, whose expectation cancels against one of the two
    factors w̃_i. Both are unbiased for the gradient of the importance-weighted bound, and the second
    does not drown in noise as k grows. Tucker et al., "Doubly Reparameterized Gradient Estimators
    for Monte Carlo Objectives", 2019.

    The caller composes it so: z carries the gradient to φ (reparameterised samples), and within
    `log_weights` φ occurs only under `stop_gradient`:

        posterior = encode(phi, x)
        z = sample(posterior, key, k)                       # [k, *latent]
        frozen = jax.lax.stop_gradient(posterior)
        bound = doubly_reparameterized_bound(
            lambda z: log_px(theta, z) + log_pz(z) - log_qz(frozen, z), z
        )

    The bound's own gradient brings one factor w̃_i; `scale_gradient` on z brings the second, on the
    way to φ only. `log_weights` is called twice on the same values, once for w̃; under `jit` the
    compiler merges the two.

    Args:
      log_weights: maps z to log w_i, `[k]`; a deterministic function.
      z: the samples, `[k, *latent]`.

    Returns:
      The bound (not its negative), a scalar, in nats.

    Raises:
      ValueError: if `log_weights` does not give `[k]`.
    """
    constant = normalized_importance_weights(log_weights(jax.lax.stop_gradient(z)))
    return importance_weighted_bound(log_weights(scale_gradient(z, constant)))


def _importance_weighted(log_weights: jax.Array) -> jax.Array:
    count = jnp.asarray(log_weights.shape[-1], log_weights.dtype)
    return logsumexp(log_weights, axis=-1) - jnp.log(count)


def _weights(rank: int, log_weights: chex.Array, *others: chex.Numeric) -> tuple[jax.Array, ...]:
    require_rank(rank, log_weights=log_weights)
    if 0 in jnp.shape(log_weights):
        raise ShapeError(f"log_weights must hold a sample, got shape {jnp.shape(log_weights)}")
    return at_least_float32(log_weights, *others)
