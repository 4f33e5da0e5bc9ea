"""Penalties that keep codes sparse, and the auxiliary loss that revives dead units."""

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import (
    require_positive,
    require_same_shape,
    require_shapes,
    require_within_unit_interval,
)
from ae_jax.errors import ConfigError
from ae_jax.losses._absolute import absolute
from ae_jax.losses._precision import at_least_float32, log_of

# Below the spacing of float32 numbers near 1, so that only 0 and 1 themselves lie beyond it there.
_CLAMP = 1e-8


def _log_ratio(value: jax.Array, reference: float, excess: jax.Array) -> jax.Array:
    """log(value / reference), with excess = value − reference; below the clamp its tangent."""
    relative = excess / reference
    near = jnp.abs(relative) < 0.5
    # Near the reference the quotient has lost what log1p keeps; far from it, the other way round.
    close = jnp.log1p(jnp.where(near, relative, 0.0))
    clamped = jnp.maximum(value, _CLAMP)
    far = jnp.log(clamped) - log_of(reference) + (jnp.minimum(value, _CLAMP) - _CLAMP) / _CLAMP
    return jnp.where(near, close, far)


def sparsity_kl(rho: float, rho_hat: chex.Array) -> jax.Array:
    """KL divergence of Bernoulli activation rates from the rate wanted, summed over units.

        Σ_j ρ log(ρ / ρ̂_j) + (1 − ρ) log((1 − ρ) / (1 − ρ̂_j))

    ρ̂_j is the mean activation of unit j over the batch: average over all examples first, then call
    this, for the mean of the divergences is not the divergence of the mean.

    For ρ̂ or 1 − ρ̂ below the clamp 1e-8, hence at exactly 0 and 1, and outside [0, 1], the logarithm
    continues as its tangent at the clamp: values and gradients are finite and point back into
    (0, 1), steeply. Activations of units other than sigmoids do not belong here.

    Args:
      rho: the rate wanted, in (0, 1).
      rho_hat: mean activations, any shape.

    Returns:
      A scalar, in nats, never negative but for rounding.

    Raises:
      ConfigError: if `rho` lies outside (0, 1).

    References:
      Ng, "Sparse autoencoder", CS294A lecture notes, 2011.

    >>> float(sparsity_kl(0.25, jnp.array([0.25, 0.25])))
    0.0
    """
    require_within_unit_interval(rho=rho)
    (rho_hat,) = at_least_float32(rho_hat)
    excess = rho_hat - rho
    on = -rho * _log_ratio(rho_hat, rho, excess)
    off = -(1.0 - rho) * _log_ratio(1.0 - rho_hat, 1.0 - rho, -excess)
    return jnp.sum(on + off)


def l1(code: chex.Array) -> jax.Array:
    """Sum of absolute values, Σ_j |z_j|; its gradient at 0 is 0.

    Args:
      code: the code, any shape.

    Returns:
      A scalar.

    >>> float(l1(jnp.array([1.0, -2.0])))
    3.0
    """
    (code,) = at_least_float32(code)
    return jnp.sum(absolute(code))


def l0_surrogate(code: chex.Array, scale: float) -> jax.Array:
    """Smooth count of the units in use, Σ_j tanh(scale · |z_j|); its gradient at 0 is 0.

    Tends to the number of units other than 0 as `scale` grows, and to scale · l1 as it shrinks.

    Args:
      code: the code, any shape.
      scale: steepness, positive: units well above 1 / scale count as one.

    Returns:
      A scalar, between 0 and the number of units.

    Raises:
      ConfigError: if `scale` is not positive.

    >>> float(l0_surrogate(jnp.array([0.0, 5.0, -5.0]), scale=100.0))
    2.0
    """
    require_positive(scale=scale)
    (code,) = at_least_float32(code)
    return jnp.sum(jnp.tanh(scale * absolute(code)))


def top_k(units: chex.Array, k: int) -> jax.Array:
    """The k largest of all units, the others set to 0.

    Ties go to the unit of lower index, in row-major order. Values stay as they are, in their own
    dtype and sign: it is the largest that stay, not the largest in absolute value.

    Args:
      units: one value a unit, any shape; k counts over all of them.
      k: the number of units to keep, from 1 to all.

    Returns:
      Of the shape of `units`. Its gradient reaches the units kept and no others.

    Raises:
      ConfigError: if `k` lies outside 1 to the number of units.

    References:
      Makhzani & Frey, "k-Sparse Autoencoders", 2014.

    >>> top_k(jnp.array([[1.0, 3.0], [2.0, 3.0]]), k=2).tolist()
    [[0.0, 3.0], [0.0, 3.0]]
    """
    return kept(units, top_k_places(units, k))


def top_k_places(units: chex.Array, k: int) -> jax.Array:
    """Where the k largest of all units are: int32 `[k]`, of the flattened units, largest first.

    Args:
      units: one value a unit, any shape.
      k: from 1 to all.

    Raises:
      ConfigError: if `k` lies outside 1 to the number of units.

    >>> top_k_places(jnp.array([[1.0, 3.0], [2.0, 3.0]]), k=2).tolist()
    [1, 3]
    """
    units = jnp.asarray(units)
    if not 1 <= k <= units.size:
        raise ConfigError(f"k must lie in 1 to {units.size}, the units, got {k}")
    return jax.lax.top_k(jax.lax.stop_gradient(units).ravel(), k)[1]


def kept(units: chex.Array, places: chex.Array) -> jax.Array:
    """The units at some places as they are, the others 0.

    Args:
      units: any shape.
      places: integers, of the flattened units.

    Returns:
      Of the shape of `units`. Its gradient reaches the units kept and no others.

    >>> kept(jnp.array([[1.0, 3.0], [2.0, 3.0]]), jnp.array([1, 2])).tolist()
    [[0.0, 3.0], [2.0, 0.0]]
    """
    units = jnp.asarray(units)
    chosen = jnp.zeros(units.size, bool).at[places].set(True).reshape(units.shape)
    return jnp.where(chosen, units, jnp.zeros((), units.dtype))


def top_k_of_dead(pre_activations: chex.Array, dead: chex.Array, k: int) -> jax.Array:
    """The k largest pre-activations among dead units, all other units set to 0.

    Ties go to the unit of lower index; with fewer than k dead units all of them are kept. Values
    stay as they are, in their own dtype: a model with ReLU codes applies its ReLU before or after.

    Args:
      pre_activations: one value a unit, `[h]`.
      dead: `bool[h]`, True for units that have not fired for long.
      k: the number of units to keep, from 1 to h.

    Returns:
      `[h]`. Its gradient reaches the units kept and no others.

    Raises:
      ShapeError: for wrong shapes.
      ConfigError: if `k` lies outside 1 to h.

    >>> top_k_of_dead(jnp.array([3.0, 1.0, 2.0]), jnp.array([False, True, True]), k=1).tolist()
    [0.0, 0.0, 2.0]
    """
    require_shapes(pre_activations=(pre_activations, "h"), dead=(dead, "h"))
    pre_activations, dead = jnp.asarray(pre_activations), jnp.asarray(dead, dtype=bool)
    places = top_k_places(jnp.where(dead, pre_activations, -jnp.inf), k)
    return jnp.where(dead, kept(pre_activations, places), 0)


def dead_unit_auxiliary(residual: chex.Array, dead_reconstruction: chex.Array) -> jax.Array:
    """The AuxK loss: dead units reconstruct what the living ones missed, ‖e − ê‖².

    The residual e = x − x̂ is a constant here: the gradient goes to ê, the decoded `top_k_of_dead`,
    alone. Decode it without the decoder's bias, which x̂ holds already. Without dead units ê is 0
    and the loss is the constant ‖e‖².

    Args:
      residual: x − x̂, any shape.
      dead_reconstruction: ê, of the same shape.

    Returns:
      A scalar, summed over the event.

    Raises:
      ShapeError: if the shapes differ.

    References:
      Gao et al., "Scaling and evaluating sparse autoencoders", 2024.

    >>> float(dead_unit_auxiliary(jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])))
    4.0
    """
    require_same_shape(residual=residual, dead_reconstruction=dead_reconstruction)
    residual, dead_reconstruction = at_least_float32(residual, dead_reconstruction)
    return jnp.sum(jnp.square(jax.lax.stop_gradient(residual) - dead_reconstruction))
