"""Bounds on log p(x) with several latent samples an example; each is a whole objective."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_positive_ints, require_unit_interval
from ae_jax.distributions import conditioned
from ae_jax.errors import ConfigError, PartError
from ae_jax.terms._registered import density, part, registered
from ae_jax.types import Array, Context, Outputs


@registered()
def iwae(
    outputs: Outputs, context: Context, samples: int, doubly_reparameterized: bool = False
) -> Array:
    """-log 1/k Σ p(x, z) / q(z | x), nats (Burda, Grosse & Salakhutdinov 2016).

    Gradients flow through the weights as in the paper, or, on request, are the doubly
    reparameterised ones (Tucker et al. 2019), whose noise does not grow with k, at the price of a
    second pass through the decoder.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      samples: k, latent samples an example.
      doubly_reparameterized: whether gradients are the doubly reparameterised ones.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.iwae(samples=5)
      Objective(1.0 · iwae)
    """
    log_weights = _log_weights(outputs, "iwae", samples)
    if doubly_reparameterized:
        return -_doubly_reparameterized(outputs, context, samples)
    return -jax.vmap(losses.importance_weighted_bound)(log_weights)


def _check_groups(samples: int, groups: int) -> None:
    require_positive_ints(groups=groups)
    if samples % groups:
        raise ConfigError(f"groups must divide samples, got groups={groups}, samples={samples}")


@registered(check=_check_groups)
def miwae(outputs: Outputs, context: Context, samples: int, groups: int) -> Array:
    """-mean over `groups` of the IWAE bound with samples / groups each (Rainforth et al. 2018).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      samples: latent samples an example, of all bounds together.
      groups: number of bounds; it divides the samples.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.miwae(samples=16, groups=4)
      Objective(1.0 · miwae)
    """
    del context
    log_weights = _log_weights(outputs, "miwae", samples)
    return -jax.vmap(losses.miwae)(log_weights.reshape(-1, groups, samples // groups))


@registered(check=lambda beta: require_unit_interval(beta=beta))
def ciwae(outputs: Outputs, context: Context, samples: int, beta: float = 0.5) -> Array:
    """-(β ELBO + (1 - β) IWAE), nats (Rainforth et al. 2018).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      samples: latent samples an example.
      beta: β, in [0, 1]; 1 gives the ELBO.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.ciwae(samples=5, beta=0.25)
      Objective(1.0 · ciwae)
    """
    del context
    log_weights = _log_weights(outputs, "ciwae", samples)
    return -jax.vmap(lambda w: losses.ciwae(w, beta))(log_weights)


def _log_weights(outputs: Outputs, name: str, samples: int) -> Array:
    """Log p(x, z) / q(z | x) of the first so many: another term may have asked for more."""
    if outputs.log_qz is None or outputs.log_pz is None:
        raise PartError(
            f"the term '{name}' needs a bottleneck with a posterior density and a prior, such as "
            "ae.bottlenecks.gaussian"
        )
    return (density(outputs, name) + outputs.log_pz - outputs.log_qz)[:, :samples]


def _doubly_reparameterized(outputs: Outputs, context: Context, samples: int) -> Array:
    model, batch = context.model, context.batch
    prior, (likelihood, _) = model.prior(context.variables), part(context, "likelihood")

    def one(decode, x, observed, extras, posterior, z):
        frozen, own_prior = jax.lax.stop_gradient(posterior), conditioned(prior, extras)

        def log_weight(z, i):
            log_px = model.likelihood.log_prob(likelihood, decode(z, i), x, observed)
            return log_px + own_prior.log_prob(z) - frozen.log_prob(z)

        each = lambda z: jax.vmap(log_weight)(z, jnp.arange(samples))
        return losses.doubly_reparameterized_bound(each, z)

    rows = batch.x, batch.observed, dict(batch.extras), outputs.posterior, outputs.z[:, :samples]
    return context.decoding(one, outputs, *rows)
