"""Index backpropagation: every code of the codebook has a part in the gradient."""

import dataclasses

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._shapes import latent_shape, no_stats, same_state
from ae_jax.checks import require_positive_ints
from ae_jax.distributions import Quantized, UniformCodes
from ae_jax.types import Array, Bottleneck, Codes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Indexed(Quantized):
    """The code of the largest probability.

    Attributes:
      code_logits: of all codes, `[*positions, codes]`.
    """

    code_logits: Array


@BOTTLENECKS.register
def ibq(latent_dim: int | tuple[int, ...], num_codes: int = 1024) -> Bottleneck:
    """Z = Ind C with Ind = onehot(p) + p − sg[p], p_j ∝ exp(−‖z_e − e_j‖²) (Shi et al. 2024).

    In value the nearest code, ties going to the lower number. The gradient passes straight through
    the choice of the code and not past it: it reaches z_e and all codes by the softmax, the chosen
    one directly as well. To be trained with `ae.terms.codebook` and `ae.terms.commitment`.

    The paper takes p_j ∝ exp(e_j · z_e), under which long codes win: of 128 on scikit-learn's
    digits 7 stayed in use after 1,500 steps, where distances left 58 after 1,000. Codes start as
    normal of deviation d^−½.

    Args:
      latent_dim: shape `(*positions, d)` of z, or d alone for one position; the encoder must
        emit the same.
      num_codes: number of codes in the codebook.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: an argument outside its range.

    References:
      Shi et al., "Scalable image tokenization with index backpropagation quantization", 2024.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.ibq((4, 4, 8), num_codes=64)
      >>> bottleneck.codes.shape, bottleneck.codes.size
      ((4, 4), 64)
    """
    shape = latent_shape(latent_dim)
    require_positive_ints(num_codes=num_codes)

    def init(key):
        codebook = jax.random.normal(key, (num_codes, shape[-1])) / jnp.sqrt(shape[-1])
        return {"codebook": codebook}, {}

    def posterior(params, state, features):
        del state
        codebook, features = params["codebook"], features.astype(jnp.float32)
        products = jnp.matmul(features, codebook.T, precision="highest")
        logits = 2 * products - jnp.sum(jnp.square(codebook), axis=1)  # and −‖z_e‖², for all alike
        numbers = losses.nearest_codes(features, codebook)
        codes, soft = codebook[numbers], jax.nn.softmax(logits, axis=-1)
        moved = jnp.matmul(soft - jax.lax.stop_gradient(soft), codebook)  # 0 in value
        return Indexed(codes + moved, features, codes, numbers, logits)

    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=init,
        posterior=posterior,
        latent=lambda params, state, posterior, key: posterior.value,
        prior=lambda params, state: UniformCodes(params["codebook"], shape[:-1]),
        stats=no_stats,
        update=same_state,
        codes=Codes(
            shape[:-1], num_codes, lambda params, state, numbers: params["codebook"][numbers]
        ),
    )
