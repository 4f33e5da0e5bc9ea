"""Total correlation by the ratio of two densities that a critic tells apart (FactorVAE)."""

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_rank, require_shapes
from ae_jax.losses import _rows
from ae_jax.losses._precision import at_least_float32


def density_ratio_total_correlation(logits: chex.Array) -> jax.Array:
    """Total correlation by the density-ratio trick: log D(z) − log(1 − D(z)), in nats.

    D is the probability of the first class of a discriminator trained by
    `density_ratio_discriminator`; the average of this value over samples of q(z) estimates the
    total correlation, and is exact for the best discriminator.

    Args:
      logits: `[2]`, first for "z of q(z)", second for "z of Π q(z_k)".

    Returns:
      A scalar, logits[0] − logits[1].

    Raises:
      ShapeError: if there are not two logits.

    References:
      Kim and Mnih, "Disentangling by factorising", 2018.

    >>> float(density_ratio_total_correlation(jnp.array([3.0, 1.0])))
    2.0
    """
    require_shapes(logits=(logits, "2"))
    (logits,) = at_least_float32(logits)
    return logits[0] - logits[1]


def density_ratio_discriminator(joint_logits: chex.Array, permuted_logits: chex.Array) -> jax.Array:
    """Loss of the FactorVAE's discriminator, ½ (−log D(z) − log(1 − D(z'))), in nats.

    Args:
      joint_logits: `[2]`, for a sample z of q(z), first for "z of q(z)".
      permuted_logits: `[2]`, for a row z' of `permute_dimensions`.

    Returns:
      A scalar.

    Raises:
      ShapeError: if there are not two logits.

    References:
      Kim and Mnih, "Disentangling by factorising", 2018, algorithm 2.

    >>> round(float(density_ratio_discriminator(jnp.zeros(2), jnp.zeros(2))), 4)  # log 2
    0.6931
    """
    require_shapes(joint_logits=(joint_logits, "2"), permuted_logits=(permuted_logits, "2"))
    joint, permuted = at_least_float32(joint_logits, permuted_logits)
    wrong_joint = jax.nn.softplus(joint[1] - joint[0])
    wrong_permuted = jax.nn.softplus(permuted[0] - permuted[1])
    return 0.5 * (wrong_joint + wrong_permuted)


def permute_dimensions(
    z: chex.Array, key: chex.PRNGKey, valid: chex.Array | None = None
) -> jax.Array:
    """Batch-coupled: shuffles each dimension over the rows, independently of the others.

    The rows of the result are approximately samples of Π q(z_k). Padding rows stay where they are
    and lend their values to no other; rows added at the end as padding leave the result unchanged.

    Args:
      z: samples of q(z), `[b, d]`.
      key: key of the permutations.
      valid: `bool[b]`, False for padding; None if all rows count.

    Returns:
      `[b, d]`, in the dtype of z.

    Raises:
      ShapeError: for wrong shapes.

    References:
      Kim and Mnih, "Disentangling by factorising", 2018, algorithm 1.

    >>> sorted(permute_dimensions(jnp.arange(4.0)[:, None], jax.random.key(0))[:, 0].tolist())
    [0.0, 1.0, 2.0, 3.0]
    """
    require_rank(2, z=z)
    z = jnp.asarray(z)
    counted = _rows.counted_rows(valid, z.shape[0])
    place = jax.lax.broadcasted_iota(jnp.int32, z.shape, 0)
    padding = jnp.broadcast_to(~counted[:, None], z.shape)
    bits = jax.random.bits(key, z.shape, jnp.uint32)
    # The rows that count, in random order, then the padding; the i-th that counts gets the i-th.
    _, _, shuffled = jax.lax.sort((padding, bits, place), dimension=0, num_keys=2)
    rank = jnp.maximum(jnp.cumsum(counted) - 1, 0)
    source = jnp.where(counted[:, None], shuffled[rank], place)
    return jnp.take_along_axis(z, source, axis=0)
