"""Entropies of codes made of independent bits, under the soft assignment that training uses."""

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_rank
from ae_jax.errors import ShapeError
from ae_jax.losses._precision import at_least_float32

FEW_BITS = 9  # whose 512 codes are held for every vector


def bit_entropy(logits: chex.Array) -> jax.Array:
    """Σ_i H(b_i) of independent bits with P(b_i = 1) = σ(logit_i): the entropy of the code.

    Args:
      logits: any shape.

    Returns:
      A scalar, nats, in [0, bits · log 2].

    References:
      Zhao, Xiong & Krähenbühl, "Image and video tokenization with binary spherical quantization",
      2024, §3.2.

    >>> round(float(bit_entropy(jnp.zeros(3)) / jnp.log(2)), 4)
    3.0
    """
    (logits,) = at_least_float32(logits)
    size = jnp.abs(logits)
    return jnp.sum(jnp.log1p(jnp.exp(-size)) + size * jax.nn.sigmoid(-size))


def code_probabilities(logits: chex.Array) -> jax.Array:
    """The probability of each of the 2^d codes of d independent bits.

    Args:
      logits: log P(b_i = 1) − log P(b_i = 0), `[*positions, d]`.

    Returns:
      `[*positions, 2^d]`; code n has bit i of the number n as b_i.

    Raises:
      ShapeError: logits is a scalar.

    >>> code_probabilities(jnp.array([100.0, -100.0])).tolist()  # b = (1, 0), number 1
    [0.0, 1.0, 0.0, 0.0]
    """
    if jnp.ndim(logits) == 0:
        raise ShapeError("logits must be [*positions, bits], got shape ()")
    (logits,) = at_least_float32(logits)
    probabilities = jnp.ones((*logits.shape[:-1], 1), logits.dtype)
    for i in range(logits.shape[-1]):
        bit = logits[..., i : i + 1]
        probabilities = jnp.concatenate(
            [probabilities * jax.nn.sigmoid(-bit), probabilities * jax.nn.sigmoid(bit)], axis=-1
        )
    return probabilities


def mean_code_probabilities(logits: chex.Array) -> jax.Array:
    """The mean over n vectors of `code_probabilities`, q̄(c) = (1 / n) Σ_i q(c | z_i).

    Of many bits it is the product of two matrices, (1 / n) Q₁ᵀ Q₂, with the probabilities of the
    lower bits and of the upper ones, which are independent given a vector: [n, 2^d] is never held.

    Args:
      logits: log P(b_i = 1) − log P(b_i = 0), `[n, d]`.

    Returns:
      `[2^d]`, adding up to 1.

    Raises:
      ShapeError: logits is no matrix.

    >>> mean_code_probabilities(jnp.array([[100.0, -100.0], [100.0, 100.0]])).tolist()
    [0.0, 0.5, 0.0, 0.5]
    """
    require_rank(2, logits=logits)
    (logits,) = at_least_float32(logits)
    number, bits = logits.shape
    if bits <= FEW_BITS:
        return jnp.mean(code_probabilities(logits), axis=0)
    lower, upper = jnp.split(logits, [bits // 2], axis=1)
    lower, upper = code_probabilities(lower), code_probabilities(upper)
    return jnp.matmul(upper.T, lower, precision="highest").reshape(-1) / number


def usage_deficit(probabilities: chex.Array) -> jax.Array:
    """KL(q̄ ‖ uniform) = log K − H(q̄): how far codes are from being used alike, 0 if they are.

    Batch-coupled: q̄ is the mean of the codes' probabilities over the batch, by the caller.

    Args:
      probabilities: q̄, `[*groups, K]`, each adding up to 1.

    Returns:
      A scalar, nats, summed over groups, in [0, groups · log K].

    Raises:
      ShapeError: probabilities is a scalar.

    References:
      Yu et al., "Language model beats diffusion: tokenizer is key to visual generation", 2024, §3.

    >>> round(float(usage_deficit(jnp.array([1.0, 0.0]))), 4)  # log 2
    0.6931
    """
    if jnp.ndim(probabilities) == 0:
        raise ShapeError("probabilities must be [*groups, codes], got shape ()")
    (probabilities,) = at_least_float32(probabilities)
    some = probabilities > 0
    ratio = jnp.where(some, probabilities, 1) * probabilities.shape[-1]
    return jnp.sum(jnp.where(some, probabilities * jnp.log(ratio), 0))
