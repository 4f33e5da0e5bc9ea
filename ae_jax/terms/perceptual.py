"""Distances between examples as a critic, or any function of the user's, sees them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import import_object
from ae_jax.errors import PartError
from ae_jax.terms._feeds import Feed, feed, require_feeds
from ae_jax.terms._registered import likelihood_means, registered
from ae_jax.types import Array, Context, Outputs


def _check_feeds(real: Feed, fake: Feed) -> None:
    require_feeds(real=real, fake=fake)


@registered(units="squared features", batch_coupled=True, check=_check_feeds)
def feature_matching(
    outputs: Outputs,
    context: Context,
    layer: str,
    critic: str = "critic",
    real: Feed = "x",
    fake: Feed = "sample",
) -> Array:
    """‖E f(x) - E f(x')‖², f a hidden layer of a critic (Salimans et al. 2016).

    The means are over the global batch; `real` and `fake` as in `discriminator`.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      layer: a hidden layer of the critic, by name.
      critic: the critic's name.
      real: what counts as real: "x", "reconstruction", "sample" (decoded from the prior), "code" or
        "prior"; two of them for a critic of pairs.
      fake: what counts as made, of the same names.

    Returns:
      scalar.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.feature_matching(layer="hidden_0")
      Objective(1.0 · feature_matching)
    """
    of = lambda names: _layer(outputs, context, critic, names, layer)
    real_mean, fake_mean = context.mean(of(real)), context.mean(of(fake))
    return jnp.sum(jnp.square(real_mean - fake_mean))


@registered(units="squared features")
def learned_similarity(
    outputs: Outputs, context: Context, layer: str, critic: str = "critic"
) -> Array:
    """½ ‖f(x) - f(x̂)‖², f a hidden layer of a critic (VAE-GAN, Larsen et al. 2016).

    Minus the log-density of f(x) under N(f(x̂), I), less its constant.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      layer: a hidden layer of the critic, by name.
      critic: the critic's name.

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> objective = ae.terms.kl() + ae.terms.learned_similarity(layer="hidden_1")
    """
    of = lambda name: _layer(outputs, context, critic, name, layer)
    return 0.5 * jnp.sum(jnp.square(of("x") - of("reconstruction")), axis=1)


def _check_features(features: Any) -> None:
    if not callable(_function(features)):
        raise PartError(f"features must be a function of one example, got {features!r:.200}")


@registered(units="squared features", check=_check_features)
def perceptual(outputs: Outputs, context: Context, features: Callable[[Array], Any] | str) -> Array:
    """Σ ‖f(x) - f(x̂)‖² over the arrays that f gives, averaged over latent samples.

    The distance in the features of any pure function (Johnson, Alahi & Li 2016), such as the hidden
    layers of a classifier trained on the same data. Entries that are missing are 0 in both.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      features: a pure function of one example `[*event]`, in the model's units, to an array or a
        tree of them, or its "package.module:function".

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> ae.terms.perceptual(features=jnp.fft.rfft)
      Objective(1.0 · perceptual)
    """
    fn = _function(features)
    square = lambda leaf: jnp.sum(jnp.square(jnp.abs(leaf)))

    def one(x, means, observed):
        seen = lambda x: x if observed is None else jnp.where(observed, x, 0)
        x, means = seen(x), seen(means)
        target = fn(x)
        apart = lambda mean: jax.tree.map(jnp.subtract, fn(mean), target)
        each = lambda mean: sum(map(square, jax.tree.leaves(apart(mean))), jnp.zeros(()))
        return jnp.mean(jax.vmap(each)(means))

    batch = context.batch
    return jax.vmap(one)(batch.x, likelihood_means(outputs, context), batch.observed)


def _function(features: Any) -> Any:
    return import_object(features) if isinstance(features, str) else features


def _layer(outputs: Outputs, context: Context, critic: str, names: Feed, layer: str) -> Array:
    values = context.critic(critic, *feed(outputs, context, critic, names), layer=layer)
    return values.reshape(values.shape[0], -1)
