"""Penalties on the slope of a critic."""

from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_not_negative
from ae_jax.ops.kernels import without_kernels
from ae_jax.terms._feeds import Feed, feed, require_feeds
from ae_jax.terms._registered import registered
from ae_jax.types import Array, Context, Outputs

LINE_DRAW = 2**31 - 4  # beside the numbers of latent samples in an example's latent stream


def _check_gradient_penalty(real: Feed, fake: Feed, target: float) -> None:
    require_feeds(real=real, fake=fake)
    require_not_negative(target=target)


@registered(units="1", check=_check_gradient_penalty)
def gradient_penalty(
    outputs: Outputs,
    context: Context,
    critic: str = "critic",
    real: Feed = "x",
    fake: Feed = "sample",
    target: float = 1.0,
) -> Array:
    """(‖∇D(x̂)‖ - target)² at a point drawn between real and fake (WGAN-GP, Gulrajani et al. 2017).

    Its weight is λ, 10 in the paper. The critic must not normalise over the batch.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.
      real: what counts as real: "x", "reconstruction", "sample" (decoded from the prior), "code" or
        "prior"; two of them for a critic of pairs.
      fake: what counts as made, of the same names.
      target: the slope that is asked for; 0 of a penalty on any.

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.discriminator(loss="wasserstein") + 10.0 * ae.terms.gradient_penalty()
      Objective(1.0 · discriminator + 10.0 · gradient_penalty)
    """
    ends = [feed(outputs, context, critic, names) for names in (real, fake)]

    def between(real: Any, fake: Any, key: Array) -> tuple[Array, ...]:
        place = jax.random.fold_in(key, LINE_DRAW)
        mixed = []
        for one, other in zip(real, fake, strict=True):
            dtype = jnp.promote_types(one.dtype, other.dtype)  # what is made is float32
            mixed.append(losses.interpolate(one.astype(dtype), other.astype(dtype), place))
        return tuple(mixed)

    points = jax.vmap(between)(ends[0], ends[1], context.keys.latent)
    return _sloped(context, critic, points, lambda fn, x: losses.gradient_penalty(fn, x, target))


@registered(units="1", check=lambda real: require_feeds(real=real))
def r1(outputs: Outputs, context: Context, critic: str = "critic", real: Feed = "x") -> Array:
    """½ ‖∇D(x)‖² at real examples (Mescheder, Geiger & Nowozin 2018); its weight is γ.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.
      real: what counts as real: "x", "reconstruction", "sample" (decoded from the prior), "code" or
        "prior"; two of them for a critic of pairs.

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> objective = ae.terms.discriminator() + 10.0 * ae.terms.r1()
    """
    points = feed(outputs, context, critic, real)
    return 0.5 * _sloped(context, critic, points, losses.gradient_norm_squared)


@registered(units="1", check=lambda fake: require_feeds(fake=fake))
def r2(outputs: Outputs, context: Context, critic: str = "critic", fake: Feed = "sample") -> Array:
    """½ ‖∇D(x)‖² at generated examples (Mescheder, Geiger & Nowozin 2018); its weight is γ.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.
      fake: what counts as made, of the same names.

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> objective = ae.terms.discriminator() + 10.0 * (ae.terms.r1() + ae.terms.r2())
    """
    points = feed(outputs, context, critic, fake)
    return 0.5 * _sloped(context, critic, points, losses.gradient_norm_squared)


def _sloped(
    context: Context,
    critic: str,
    points: tuple[Array, ...],
    penalty: Callable[[Callable[[Array], Array], Array], Array],
) -> Array:
    """A penalty on the critic's sum of logits as a function of all that it reads, `[b]`."""

    def one(judge, point):
        flat, restored = jax.flatten_util.ravel_pytree(point)
        return penalty(lambda flat: jnp.sum(judge(*restored(flat))), flat)

    with without_kernels():  # its own gradient is a second derivative
        return context.judging(one, critic, points)
