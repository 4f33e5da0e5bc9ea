"""Penalties on the covariance of codes (DIP-VAE)."""

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_rank, require_shapes, require_two
from ae_jax.losses import _rows
from ae_jax.losses._precision import at_least_float32


def _covariance(rows: jax.Array, counted: jax.Array) -> jax.Array:
    """Covariance over the rows that count, divided by their number (not that less one)."""
    count = jnp.maximum(jnp.sum(counted, dtype=rows.dtype), 1.0)
    mean = jnp.sum(rows, axis=0, keepdims=True) / count
    centred = _rows.blank_padding(rows - mean, counted)
    return jnp.matmul(centred.T, centred, precision="highest") / count


def _dip_penalty(covariance: jax.Array, lambda_od: jax.Array, lambda_d: jax.Array) -> jax.Array:
    diagonal = jnp.diagonal(covariance)
    off_diagonal = jnp.where(jnp.eye(diagonal.size, dtype=bool), 0.0, covariance)
    return lambda_od * jnp.sum(jnp.square(off_diagonal)) + lambda_d * jnp.sum(
        jnp.square(diagonal - 1.0)
    )


def dip_vae_i(
    mean: chex.Array,
    *,
    lambda_od: chex.Numeric,
    lambda_d: chex.Numeric,
    valid: chex.Array | None = None,
) -> jax.Array:
    """Batch-coupled: the DIP-VAE-I penalty on the covariance C of the posterior means.

        λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)²

    Args:
      mean: posterior means, `[n, d]`.
      lambda_od: weight of the off-diagonal part.
      lambda_d: weight of the diagonal part; the paper takes 10 λ_od.
      valid: `bool[n]`, False for padding; None if all rows count.

    Returns:
      A scalar. The covariance is divided by n.

    Raises:
      ShapeError: for wrong shapes, or fewer than two rows.

    References:
      Kumar et al., "Variational inference of disentangled latent concepts from unlabeled
      observations", 2018.

    >>> float(dip_vae_i(jnp.array([[1.0], [-1.0]]), lambda_od=1.0, lambda_d=1.0))
    0.0
    """
    require_rank(2, mean=mean)
    require_two("the covariance of DIP-VAE", jnp.shape(mean)[0])
    mean, lambda_od, lambda_d = at_least_float32(mean, lambda_od, lambda_d)
    counted = _rows.counted_rows(valid, mean.shape[0])
    covariance = _covariance(_rows.blank_padding(mean, counted), counted)
    return _dip_penalty(covariance, lambda_od, lambda_d)


def dip_vae_ii(
    mean: chex.Array,
    log_var: chex.Array,
    *,
    lambda_od: chex.Numeric,
    lambda_d: chex.Numeric,
    valid: chex.Array | None = None,
) -> jax.Array:
    """Batch-coupled: the DIP-VAE-II penalty, on the covariance of the aggregate posterior.

    The penalty of `dip_vae_i` with C = Cov(mean) + diag(E exp(log_var)), finite in float32 for
    log-variances up to 40.

    Args:
      mean: posterior means, `[n, d]`.
      log_var: logarithms of the posterior variances, `[n, d]`.
      lambda_od: weight of the off-diagonal part.
      lambda_d: weight of the diagonal part; the paper takes λ_od.
      valid: `bool[n]`, False for padding; None if all rows count.

    Returns:
      A scalar. The covariance is divided by n.

    Raises:
      ShapeError: for wrong shapes, or fewer than two rows.

    References:
      Kumar et al., "Variational inference of disentangled latent concepts from unlabeled
      observations", 2018.

    >>> float(dip_vae_ii(jnp.ones((4, 1)), jnp.zeros((4, 1)), lambda_od=1.0, lambda_d=1.0))
    0.0
    """
    require_shapes(mean=(mean, "n d"), log_var=(log_var, "n d"))
    require_two("the covariance of DIP-VAE", jnp.shape(mean)[0])
    mean, log_var, lambda_od, lambda_d = at_least_float32(mean, log_var, lambda_od, lambda_d)
    counted = _rows.counted_rows(valid, mean.shape[0])
    variance = _rows.blank_padding(jnp.exp(_rows.blank_padding(log_var, counted)), counted)
    count = jnp.maximum(jnp.sum(counted, dtype=mean.dtype), 1.0)
    covariance = _covariance(_rows.blank_padding(mean, counted), counted)
    covariance += jnp.diag(jnp.sum(variance, axis=0) / count)
    return _dip_penalty(covariance, lambda_od, lambda_d)
