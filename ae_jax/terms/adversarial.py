"""Both sides of a game: what the critic minimises, and what those minimise whom it judges."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.errors import ConfigError, nearest
from ae_jax.terms._feeds import Feed, fed, feed, require_feeds
from ae_jax.terms._registered import registered
from ae_jax.types import Array, Context, Outputs


class Game(NamedTuple):
    """One kind of game, of one example's verdicts on real and fake, `(real, fake) -> scalar`.

    Attributes:
      discriminator: what the critic minimises.
      generator: what the other side does.
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]


def _of_fake(loss: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda real, fake: loss(fake)


GAMES = {
    "non_saturating": Game(
        losses.non_saturating_discriminator, _of_fake(losses.non_saturating_generator)
    ),
    "hinge": Game(losses.hinge_discriminator, _of_fake(losses.hinge_generator)),
    "least_squares": Game(
        losses.least_squares_discriminator, _of_fake(losses.least_squares_generator)
    ),
    "wasserstein": Game(losses.wasserstein_critic, _of_fake(losses.wasserstein_generator)),
    "relativistic": Game(losses.relativistic_discriminator, losses.relativistic_generator),
}
"""Goodfellow et al. 2014; Lim & Ye 2017; Mao et al. 2017; Arjovsky et al. 2017; Jolicoeur-Martineau
2019, whose critic compares an example with the generated one in its place of the batch."""


def _check_game(real: Feed, fake: Feed, loss: str) -> None:
    require_feeds(real=real, fake=fake)
    if loss not in GAMES:
        raise ConfigError(f"loss cannot be {loss!r}{nearest(loss, GAMES)}")


@registered(check=_check_game)
def discriminator(
    outputs: Outputs,
    context: Context,
    critic: str = "critic",
    real: Feed = "x",
    fake: Feed = "sample",
    loss: str = "non_saturating",
) -> Array:
    """What a critic minimises, nats (non-saturating): to tell real from fake (Goodfellow 2014).

    `real` and `fake` are "x", "reconstruction", "sample" (decoded from the prior), "code" or
    "prior"; pairs of two for a critic of pairs. Its optimum on two equal distributions is 2 log 2.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.
      real: what counts as real: "x", "reconstruction", "sample" (decoded from the prior), "code" or
        "prior"; two of them for a critic of pairs.
      fake: what counts as made, of the same names.
      loss: "non_saturating", "hinge", "least_squares", "wasserstein" or "relativistic".

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.discriminator(real="prior", fake="code", loss="hinge")
      Objective(1.0 · discriminator)
    """
    verdicts = _verdicts(outputs, context, critic, real, fake)
    return jax.vmap(GAMES[loss].discriminator)(*verdicts)


@registered(check=_check_game)
def generator(
    outputs: Outputs,
    context: Context,
    critic: str = "critic",
    real: Feed = "x",
    fake: Feed = "sample",
    loss: str = "non_saturating",
) -> Array:
    """What those minimise whom a critic judges: that it takes fake for real (Goodfellow 2014).

    Arguments as of `discriminator`; `real` counts for the relativistic loss alone.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.
      real: what counts as real: "x", "reconstruction", "sample" (decoded from the prior), "code" or
        "prior"; two of them for a critic of pairs.
      fake: what counts as made, of the same names.
      loss: "non_saturating", "hinge", "least_squares", "wasserstein" or "relativistic".

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 0.1 * ae.terms.generator(fake="reconstruction")
      Objective(1.0 · reconstruction + 0.1 · generator)
    """
    verdicts = _verdicts(outputs, context, critic, real, fake)
    return jax.vmap(GAMES[loss].generator)(*verdicts)


def _check_feeds(real: Feed, fake: Feed) -> None:
    require_feeds(real=real, fake=fake)


@registered(units="share", check=_check_feeds)
def critic_accuracy(
    outputs: Outputs,
    context: Context,
    critic: str = "critic",
    real: Feed = "x",
    fake: Feed = "sample",
) -> Array:
    """The share of real and fake whose logit has the right sign, ½ [r > 0] + ½ [f < 0].

    To be watched with weight 0: 1 says that the critic has won, ½ that it cannot tell
    (Goodfellow et al. 2014).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.
      real: what counts as real: "x", "reconstruction", "sample" (decoded from the prior), "code" or
        "prior"; two of them for a critic of pairs.
      fake: what counts as made, of the same names.

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> objective = ae.terms.discriminator() + 0.0 * ae.terms.critic_accuracy()
    """
    real_logits, fake_logits = _verdicts(outputs, context, critic, real, fake)
    right = jax.vmap(lambda r, f: 0.5 * jnp.mean(r > 0) + 0.5 * jnp.mean(f < 0))
    return right(real_logits, fake_logits)


@registered(units="1", batch_coupled=True, check=_check_feeds)
def spread(outputs: Outputs, context: Context, real: Feed = "x", fake: Feed = "sample") -> Array:
    """Σ Var(x') / Σ Var(x), the variance of what is made against the data's: 0 of one image alone.

    Variances are those of the global batch. To be watched with weight 0: far below 1 says that the
    samples have collapsed (Goodfellow 2016, "NIPS 2016 tutorial: generative adversarial networks").

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      real: what counts as real, as in `discriminator`.
      fake: what counts as made.

    Returns:
      scalar.

    Example:
      >>> import ae_jax as ae
      >>> objective = ae.terms.generator() + 0.0 * ae.terms.spread()
    """

    def variance(name):
        decoded = fed(name, outputs, context)
        return jnp.sum(context.mean(jnp.square(decoded - context.mean(decoded))))

    return variance(fake) / jnp.maximum(variance(real), jnp.finfo(jnp.float32).tiny)


@registered(units="squared logits", batch_coupled=True, check=_check_feeds)
def lecam(
    outputs: Outputs,
    context: Context,
    critic: str = "critic",
    real: Feed = "x",
    fake: Feed = "sample",
) -> Array:
    """(r - α_f)² + (f - α_r)², α the critic's mean verdicts, held fixed (Tseng et al. 2021).

    The means are those of the global batch: the paper's moving averages at decay 0.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      critic: the critic's name.
      real: what counts as real: "x", "reconstruction", "sample" (decoded from the prior), "code" or
        "prior"; two of them for a critic of pairs.
      fake: what counts as made, of the same names.

    Returns:
      scalar.

    Example:
      >>> import ae_jax as ae
      >>> objective = ae.terms.discriminator(loss="hinge") + 0.3 * ae.terms.lecam()
    """
    verdicts = _verdicts(outputs, context, critic, real, fake)
    anchors = [jax.lax.stop_gradient(context.mean(v)) for v in verdicts]
    each = jax.vmap(losses.lecam, in_axes=(0, 0, None, None))
    return context.mean(each(*verdicts, *anchors))


def _verdicts(
    outputs: Outputs, context: Context, critic: str, real: Feed, fake: Feed
) -> tuple[Array, Array]:
    """The critic's on real and on fake, `[b, *outputs]` each."""
    of = lambda names: context.critic(critic, *feed(outputs, context, critic, names))
    return of(real), of(fake)
