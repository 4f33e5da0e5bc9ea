"""Total correlation by a critic that tells codes from codes with shuffled dimensions."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.errors import PartError
from ae_jax.terms._feeds import feed
from ae_jax.terms._registered import registered
from ae_jax.types import Array, Context, Outputs

SHUFFLE_DRAW = 2**31 - 5  # beside the numbers of latent samples in an example's latent stream


@registered()
def density_ratio(outputs: Outputs, context: Context, critic: str = "critic") -> Array:
    """Log D(z) - log(1 - D(z)), nats: the total correlation of the code (Kim & Mnih 2018).

    D is the probability of the first of the critic's two classes; its own objective is
    `density_ratio_discriminator`.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> objective = ae.terms.reconstruction() + ae.terms.kl() + 6.0 * ae.terms.density_ratio()
    """
    logits = _logits(context, critic, *feed(outputs, context, critic, "code"))
    return jax.vmap(losses.density_ratio_total_correlation)(logits)


@registered()
def density_ratio_discriminator(
    outputs: Outputs, context: Context, critic: str = "critic"
) -> Array:
    """½ (-log D(z) - log(1 - D(z'))), nats, z' with its dimensions shuffled (Kim & Mnih 2018).

    Each dimension is shuffled over the global batch, the same on any number of devices.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.density_ratio_discriminator(critic="critic")
      Objective(1.0 · density_ratio_discriminator)
    """
    (z,) = feed(outputs, context, critic, "code")
    joint, apart = _logits(context, critic, z), _logits(context, critic, shuffled(z, context))
    return jax.vmap(losses.density_ratio_discriminator)(joint, apart)


def shuffled(z: Array, context: Context) -> Array:
    """Codes, `[b, *latent]`, each dimension shuffled over the valid rows of the global batch.

    The rows are put into two random orders for each dimension, by draws from the examples' own
    keys, and each takes the value of the row in its place of the other order: a uniform permutation
    that hangs neither on the order of the batch nor on the devices that hold it.
    """
    rows, size = z.reshape(z.shape[0], -1), z.shape[0]
    draw = lambda key: jax.random.bits(
        jax.random.fold_in(key, SHUFFLE_DRAW), (2, rows.shape[1]), jnp.uint32
    )
    every, draws = context.gather((rows, jax.vmap(draw)(context.keys.latent)))
    padding = jnp.broadcast_to(~context.all_valid()[:, None], every.shape)
    place = jax.lax.broadcasted_iota(jnp.int32, every.shape, 0)
    order = lambda bits: jax.lax.sort((padding, bits, place), dimension=0, num_keys=2)[2]
    takes, gives = order(draws[:, 0]), order(draws[:, 1])
    source = jnp.take_along_axis(gives, jnp.argsort(takes, axis=0), axis=0)
    mixed = jnp.take_along_axis(every, source, axis=0)
    start = context.across.number() * size
    return jax.lax.dynamic_slice_in_dim(mixed, start, size).reshape(z.shape)


def _logits(context: Context, critic: str, z: Array) -> Array:
    logits = context.critic(critic, z)
    if logits.shape[1:] != (2,):
        raise PartError(
            f"the critic '{critic}' must emit two logits, for joint and shuffled codes, got shape "
            f"{logits.shape[1:]}: ae.critic(on='code', outputs=2)"
        )
    return jnp.asarray(logits)
