"""Losses of games: discriminators, critics and generators.

Logits are those of one example: a scalar, or one a patch, over which the losses sum. Large logits
say "real".
"""

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_same_shape
from ae_jax.errors import ConfigError
from ae_jax.losses._precision import at_least_float32


def non_saturating_discriminator(real_logits: chex.Array, fake_logits: chex.Array) -> jax.Array:
    """Binary cross-entropy of the discriminator, −log σ(r) − log(1 − σ(f)), in nats.

    Args:
      real_logits: r, for a real example, any shape.
      fake_logits: f, for a generated one, of the same shape.

    Returns:
      A scalar.

    Raises:
      ShapeError: if the shapes differ.

    References:
      Goodfellow et al., "Generative adversarial nets", 2014.

    >>> round(float(non_saturating_discriminator(0.0, 0.0)), 4)  # 2 log 2
    1.3863
    """
    real, fake = _logit_pair(real_logits, fake_logits)
    return jnp.sum(jax.nn.softplus(-real) + jax.nn.softplus(fake))


def non_saturating_generator(fake_logits: chex.Array) -> jax.Array:
    """Cross-entropy of the generator against the label "real", −log σ(f), in nats.

    Args:
      fake_logits: f, for a generated example, any shape.

    Returns:
      A scalar.

    References:
      Goodfellow et al., "Generative adversarial nets", 2014.

    >>> round(float(non_saturating_generator(0.0)), 4)  # log 2
    0.6931
    """
    (fake,) = at_least_float32(fake_logits)
    return jnp.sum(jax.nn.softplus(-fake))


def hinge_discriminator(real_logits: chex.Array, fake_logits: chex.Array) -> jax.Array:
    """Hinge loss of the discriminator, max(0, 1 − r) + max(0, 1 + f).

    Args:
      real_logits: r, for a real example, any shape.
      fake_logits: f, for a generated one, of the same shape.

    Returns:
      A scalar.

    Raises:
      ShapeError: if the shapes differ.

    References:
      Lim and Ye, "Geometric GAN", 2017.

    >>> float(hinge_discriminator(2.0, 0.5))
    1.5
    """
    real, fake = _logit_pair(real_logits, fake_logits)
    return jnp.sum(jax.nn.relu(1.0 - real) + jax.nn.relu(1.0 + fake))


def hinge_generator(fake_logits: chex.Array) -> jax.Array:
    """Loss of the generator beside the hinge discriminator, −f.

    Args:
      fake_logits: f, for a generated example, any shape.

    Returns:
      A scalar.

    References:
      Lim and Ye, "Geometric GAN", 2017.

    >>> float(hinge_generator(0.5))
    -0.5
    """
    (fake,) = at_least_float32(fake_logits)
    return -jnp.sum(fake)


def least_squares_discriminator(real_logits: chex.Array, fake_logits: chex.Array) -> jax.Array:
    """Least-squares loss of the discriminator, ½ (r − 1)² + ½ f².

    Args:
      real_logits: r, for a real example, any shape.
      fake_logits: f, for a generated one, of the same shape.

    Returns:
      A scalar.

    Raises:
      ShapeError: if the shapes differ.

    References:
      Mao et al., "Least squares generative adversarial networks", 2017.

    >>> float(least_squares_discriminator(1.0, 2.0))
    2.0
    """
    real, fake = _logit_pair(real_logits, fake_logits)
    return 0.5 * jnp.sum(jnp.square(real - 1.0) + jnp.square(fake))


def least_squares_generator(fake_logits: chex.Array) -> jax.Array:
    """Least-squares loss of the generator, ½ (f − 1)².

    Args:
      fake_logits: f, for a generated example, any shape.

    Returns:
      A scalar.

    References:
      Mao et al., "Least squares generative adversarial networks", 2017.

    >>> float(least_squares_generator(3.0))
    2.0
    """
    (fake,) = at_least_float32(fake_logits)
    return 0.5 * jnp.sum(jnp.square(fake - 1.0))


def wasserstein_critic(real_scores: chex.Array, fake_scores: chex.Array) -> jax.Array:
    """Loss of the critic, f − r: minus the estimated Wasserstein-1 distance.

    An estimate only for critics of Lipschitz constant 1: see `structure.gradient_penalty`.

    Args:
      real_scores: r, for a real example, any shape.
      fake_scores: f, for a generated one, of the same shape.

    Returns:
      A scalar.

    Raises:
      ShapeError: if the shapes differ.

    References:
      Arjovsky et al., "Wasserstein GAN", 2017.

    >>> float(wasserstein_critic(3.0, 1.0))
    -2.0
    """
    real, fake = _logit_pair(real_scores, fake_scores)
    return jnp.sum(fake - real)


def wasserstein_generator(fake_scores: chex.Array) -> jax.Array:
    """Loss of the generator beside the critic, −f.

    Args:
      fake_scores: f, for a generated example, any shape.

    Returns:
      A scalar.

    References:
      Arjovsky et al., "Wasserstein GAN", 2017.

    >>> float(wasserstein_generator(1.0))
    -1.0
    """
    (fake,) = at_least_float32(fake_scores)
    return -jnp.sum(fake)


def interpolate(real: chex.Array, fake: chex.Array, key: chex.PRNGKey) -> jax.Array:
    """A point drawn uniformly between a real and a generated example, for the gradient penalty.

    Args:
      real: one example, any shape.
      fake: another, of the same shape and dtype.
      key: key of the place on the line.

    Returns:
      real + u (fake − real), one u in [0, 1) for the whole example, in the examples' dtype.

    Raises:
      ShapeError: if the shapes differ.
      ConfigError: if the dtypes differ.

    References:
      Gulrajani et al., "Improved training of Wasserstein GANs", 2017.

    >>> interpolate(jnp.ones(2), jnp.ones(2), jax.random.key(0)).tolist()
    [1.0, 1.0]
    """
    require_same_shape(real=real, fake=fake)
    real, fake = jnp.asarray(real), jnp.asarray(fake)
    if real.dtype != fake.dtype:
        raise ConfigError(f"real and fake must have one dtype, got {real.dtype} and {fake.dtype}")
    start, end = at_least_float32(real, fake)
    place = jax.random.uniform(key, dtype=start.dtype)
    return (start + place * (end - start)).astype(real.dtype)


def _logit_pair(real: chex.Array, fake: chex.Array) -> tuple[jax.Array, jax.Array]:
    require_same_shape(real=real, fake=fake)
    real, fake = at_least_float32(real, fake)
    return real, fake
