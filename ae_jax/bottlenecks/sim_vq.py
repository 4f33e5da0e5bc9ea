"""A codebook that is a learned linear map of fixed random vectors."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._shapes import latent_shape, no_stats, same_state
from ae_jax.checks import require_positive_ints
from ae_jax.distributions import Quantized, UniformCodes
from ae_jax.types import Bottleneck, Codes


@BOTTLENECKS.register
def sim_vq(
    latent_dim: int | tuple[int, ...], num_codes: int = 1024, rotation: bool = False
) -> Bottleneck:
    """The nearest of the codes C = A W, A normal and never moved, W learned (Zhu et al. 2024).

    As `vector_quantized` with a codebook that is a parameter, but the gradient of one code in use
    moves W, and so all of them: codes do not fall out of use alone, however many there are. To be
    trained with `ae.terms.codebook` and `ae.terms.commitment`. Entries of A have deviation d^−½ and
    W starts as the identity.

    Args:
      latent_dim: shape `(*positions, d)` of z, or d alone for one position; the encoder must
        emit the same.
      num_codes: number of codes in the codebook.
      rotation: whether the gradient passes through the rotation that takes features to their codes,
        see `ae.losses.rotate_through`; otherwise straight through.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: an argument outside its range.

    References:
      Zhu et al., "Addressing representation collapse in vector quantized models with one linear
      layer", 2024.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.sim_vq((4, 4, 8), num_codes=64)
      >>> bottleneck.codes.shape, bottleneck.codes.size
      ((4, 4), 64)
    """
    shape = latent_shape(latent_dim)
    require_positive_ints(num_codes=num_codes)
    dimension = shape[-1]
    through = losses.rotate_through if rotation else losses.straight_through

    def init(key):
        frozen = jax.random.normal(key, (num_codes, dimension)) / jnp.sqrt(dimension)
        return {"basis": jnp.eye(dimension)}, {"frozen": frozen}

    def codebook_of(params, state):
        frozen = jax.lax.stop_gradient(state["frozen"])
        return jnp.matmul(frozen, params["basis"], precision="highest")

    def posterior(params, state, features):
        codebook = codebook_of(params, state)
        numbers = losses.nearest_codes(features, codebook)
        codes = codebook[numbers]
        return Quantized(through(features, codes), features, codes, numbers)

    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=init,
        posterior=posterior,
        latent=lambda params, state, posterior, key: posterior.value,
        prior=lambda params, state: UniformCodes(codebook_of(params, state), shape[:-1]),
        stats=no_stats,
        update=same_state,
        codes=Codes(
            shape[:-1],
            num_codes,
            lambda params, state, numbers: codebook_of(params, state)[numbers],
        ),
    )
