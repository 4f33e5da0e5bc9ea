"""Losses of games on pairs: how much more real a real example looks than a generated one."""

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_same_shape
from ae_jax.losses._precision import at_least_float32


def relativistic_discriminator(real_logits: chex.Array, fake_logits: chex.Array) -> jax.Array:
    """Relativistic pairing loss of the discriminator, −log σ(r − f), in nats.

    Args:
      real_logits: r, for a real example, any shape.
      fake_logits: f, for the generated one it is paired with, of the same shape.

    Returns:
      A scalar.

    Raises:
      ShapeError: if the shapes differ.

    References:
      Jolicoeur-Martineau, "The relativistic discriminator", 2019; Huang et al., "The GAN is dead;
      long live the GAN!", 2024.

    >>> round(float(relativistic_discriminator(1.0, 1.0)), 4)  # log 2
    0.6931
    """
    require_same_shape(real=real_logits, fake=fake_logits)
    real, fake = at_least_float32(real_logits, fake_logits)
    return jnp.sum(jax.nn.softplus(fake - real))


def relativistic_generator(real_logits: chex.Array, fake_logits: chex.Array) -> jax.Array:
    """Relativistic pairing loss of the generator, −log σ(f − r), in nats.

    Args:
      real_logits: r, for a real example, any shape.
      fake_logits: f, for the generated one it is paired with, of the same shape.

    Returns:
      A scalar.

    Raises:
      ShapeError: if the shapes differ.

    References:
      Jolicoeur-Martineau, "The relativistic discriminator", 2019.

    >>> round(float(relativistic_generator(1.0, 1.0)), 4)  # log 2
    0.6931
    """
    return relativistic_discriminator(fake_logits, real_logits)


def lecam(
    real_logits: chex.Array,
    fake_logits: chex.Array,
    real_anchor: chex.Array,
    fake_anchor: chex.Array,
) -> jax.Array:
    """LeCam regularisation of a critic, (r − α_f)² + (f − α_r)².

    Pulls verdicts on real examples towards those usual for generated ones and the other way round,
    which keeps a critic of few data from memorising them.

    Args:
      real_logits: r, for a real example, any shape.
      fake_logits: f, for a generated one, of the same shape.
      real_anchor: α_r, the critic's average verdict on real examples.
      fake_anchor: α_f, that on generated ones.

    Returns:
      A scalar.

    Raises:
      ShapeError: if the shapes of the logits differ.

    References:
      Tseng et al., "Regularizing generative adversarial networks under limited data", 2021.

    >>> float(lecam(1.0, -1.0, 0.5, -0.5))
    4.5
    """
    require_same_shape(real=real_logits, fake=fake_logits)
    real, fake, real_anchor, fake_anchor = at_least_float32(
        real_logits, fake_logits, real_anchor, fake_anchor
    )
    return jnp.sum(jnp.square(real - fake_anchor) + jnp.square(fake - real_anchor))
