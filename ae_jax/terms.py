"""Losses bound to a model's `Outputs`: the terms that objectives are made of."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.distributions import kl_divergence
from ae_jax.errors import PartError
from ae_jax.objective import term
from ae_jax.registry import TERMS
from ae_jax.types import Array, Context, Outputs

__all__ = ["kl", "reconstruction", "squared_error"]


def registered(factory):
    """Puts a term factory under its own name, where configs find it."""
    TERMS.factories[factory.__name__] = factory
    return factory


@registered
@term
def reconstruction(outputs: Outputs, context: Context) -> Array:
    """-log p(x | z), nats, averaged over latent samples."""
    del context
    return -jnp.mean(outputs.log_px, axis=1)


@registered
@term
def squared_error(outputs: Outputs, context: Context) -> Array:
    """Σ (x - x̂)² over the event, with x̂ the likelihood's mean, averaged over latent samples."""
    model, batch = context.model, context.batch
    params = context.variables.params.get("likelihood", {})

    def one(x, observed, ys):
        error = lambda y: losses.squared_error(x, model.likelihood.mean(params, y), observed)
        return jnp.mean(jax.vmap(error)(ys))

    return jax.vmap(one)(batch.x, batch.observed, outputs.parameters)


@registered
@term
def kl(outputs: Outputs, context: Context) -> Array:
    """KL(q(z | x) ‖ p(z)), nats: in closed form where there is one, else log q(z) - log p(z).

    The Monte Carlo form averages over latent samples (Kingma & Welling 2014).
    """
    prior = context.model.prior(context.variables)
    if prior is not None:
        closed = jax.vmap(kl_divergence, in_axes=(0, None))(outputs.posterior, prior)
        if closed is not None:
            return closed
    if outputs.log_qz is None or outputs.log_pz is None:
        raise PartError(
            "the term 'kl' needs a bottleneck with a posterior density and a prior, such as "
            "ae.bottlenecks.gaussian"
        )
    return jnp.mean(outputs.log_qz - outputs.log_pz, axis=1)
