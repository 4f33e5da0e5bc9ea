"""Vector quantisation: the nearest code, the gradient past it, and what draws both together."""

import chex
import jax
import jax.numpy as jnp

from ae_jax import ops
from ae_jax.checks import require_rank, require_same_shape
from ae_jax.errors import ShapeError
from ae_jax.losses._precision import at_least_float32


def nearest_codes(features: chex.Array, codebook: chex.Array) -> jax.Array:
    """The number of the code nearest to each feature vector, argmin_j ‖z_e − e_j‖².

    Distances are compared as ‖e_j‖² − 2 z_e·e_j, in full float32 precision on any accelerator; ties
    go to the lower number.

    Args:
      features: z_e, `[*positions, d]`.
      codebook: e, `[codes, d]`.

    Returns:
      int32 `[*positions]`; it has no gradient.

    Raises:
      ShapeError: the codebook is not a matrix, or its codes have another size than the features.

    >>> nearest_codes(jnp.array([[0.2], [0.9]]), jnp.array([[0.0], [1.0]])).tolist()
    [0, 1]
    """
    require_rank(2, codebook=codebook)
    if jnp.ndim(features) < 1 or jnp.shape(features)[-1] != jnp.shape(codebook)[1]:
        raise ShapeError(
            "features and codebook must agree in their last axis, got features "
            f"{jnp.shape(features)} and codebook {jnp.shape(codebook)}"
        )
    features, codebook = jax.lax.stop_gradient(at_least_float32(features, codebook))
    return ops.codebook.nearest(features, codebook)


def straight_through(features: chex.Array, codes: chex.Array) -> jax.Array:
    """The codes in value, bit for bit, and the features in gradient.

    Args:
      features: z_e, any shape.
      codes: the nearest codes, of the same shape; they get no gradient.

    Returns:
      Of the same shape.

    Raises:
      ShapeError: if the shapes differ.

    References:
      van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation Learning", 2017, §3.2.

    >>> jax.grad(lambda z: 2 * straight_through(z, jnp.round(z)))(0.7).item()
    2.0
    """
    require_same_shape(features=features, codes=codes)
    features, codes = at_least_float32(features, codes)
    return jax.lax.stop_gradient(codes) + (features - jax.lax.stop_gradient(features))


def rotate_through(features: chex.Array, codes: chex.Array) -> jax.Array:
    """The codes in value, bit for bit; in gradient the rotation that takes the features to them.

    Codes are sg[‖e‖ / ‖z_e‖ R] z_e with R = I − 2 w w′ + 2 ê ẑ′, ẑ and ê the directions of z_e and
    e, and w that of ẑ + ê: R turns ẑ into ê within their plane. A gradient at the code is turned
    back and scaled, so that its angle to the code becomes its angle to the features, where straight
    through leaves it as it is. Where either vector is 0 there is no rotation, and the gradient goes
    straight through.

    Args:
      features: z_e, `[*positions, d]`.
      codes: the nearest codes, of the same shape; they get no gradient.

    Returns:
      Of the same shape.

    Raises:
      ShapeError: if the shapes differ.

    References:
      Fifty et al., "Restructuring vector quantization with the rotation trick", 2024, §4.2.

    >>> z, e = jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])
    >>> pulled = jax.grad(lambda z: jnp.sum(jnp.array([0.0, 1.0]) * rotate_through(z, e)))(z)
    >>> [round(float(x), 4) for x in pulled]  # along the code, so along z, at twice the size
    [2.0, 0.0]
    """
    require_same_shape(features=features, codes=codes)
    features, codes = at_least_float32(features, codes)
    fixed, codes = jax.lax.stop_gradient((features, codes))
    norm = lambda v: jnp.sqrt(jnp.sum(jnp.square(v), axis=-1, keepdims=True))
    direction = lambda v: v / jnp.where(norm(v) > 0, norm(v), 1)
    of_features, of_codes = direction(fixed), direction(codes)
    between = direction(of_features + of_codes)
    along = lambda axis: jnp.sum(axis * features, axis=-1, keepdims=True)
    turned = features - 2 * along(between) * between + 2 * along(of_features) * of_codes
    usable = (norm(fixed) > 0) & (norm(codes) > 0)
    scale = norm(codes) / jnp.where(usable, norm(fixed), 1)
    moved = jnp.where(usable, scale * turned, features)
    return codes + (moved - jax.lax.stop_gradient(moved))


def commitment(features: chex.Array, codes: chex.Array) -> jax.Array:
    """‖z_e − sg[e]‖², which holds the features to their codes; its gradient is the features' alone.

    Args:
      features: z_e, any shape.
      codes: the nearest codes, of the same shape.

    Returns:
      A scalar, summed over positions and dimensions.

    Raises:
      ShapeError: if the shapes differ.

    References:
      van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation Learning", 2017, eq. 3.

    >>> float(commitment(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])))
    5.0
    """
    require_same_shape(features=features, codes=codes)
    features, codes = at_least_float32(features, codes)
    return jnp.sum(jnp.square(features - jax.lax.stop_gradient(codes)))


def codebook(features: chex.Array, codes: chex.Array) -> jax.Array:
    """‖sg[z_e] − e‖², which draws the codes to their features; its gradient is the codes' alone.

    For codebooks learned by gradient; one kept by moving averages has no use for it.

    Args:
      features: z_e, any shape.
      codes: the nearest codes, of the same shape.

    Returns:
      A scalar, summed over positions and dimensions.

    Raises:
      ShapeError: if the shapes differ.

    References:
      van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation Learning", 2017, eq. 3.

    >>> float(codebook(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])))
    5.0
    """
    return commitment(codes, features)
