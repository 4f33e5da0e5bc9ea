"""The bound of a posterior that follows the dynamics of log p(x, z)."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.bottlenecks.hamiltonian import learned
from ae_jax.checks import require_positive_ints
from ae_jax.distributions import conditioned
from ae_jax.errors import PartError
from ae_jax.terms._registered import density, part, registered
from ae_jax.types import Array, Context, Outputs

MOMENTUM_DRAW = 2**31 - 6  # beside the numbers of latent samples in an example's latent stream


@registered(check=lambda leapfrog: require_positive_ints(leapfrog=leapfrog))
def hamiltonian(outputs: Outputs, context: Context, leapfrog: int = 3, samples: int = 1) -> Array:
    """-log p̂(x), the Hamiltonian bound on it, nats (Caterini, Doucet & Sejdinovic 2018).

    Samples of q(z | x) take leapfrog steps along the gradient of log p(x, z), each one more pass
    through the decoder and back, with the step sizes and the tempering that the bottleneck
    `ae.bottlenecks.hamiltonian` learns; see `ae.losses.hamiltonian_bound`.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      leapfrog: K, the steps.
      samples: latent samples an example, over which the bound is averaged.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.hamiltonian(leapfrog=5)
      Objective(1.0 · hamiltonian)
    """
    params, _ = part(context, "bottleneck")
    if "step_size" not in params:
        raise PartError(
            "the term 'hamiltonian' needs a bottleneck with step sizes to learn, "
            "ae.bottlenecks.hamiltonian"
        )
    density(outputs, "hamiltonian")
    model, batch = context.model, context.batch
    prior, (likelihood, _) = model.prior(context.variables), part(context, "likelihood")
    how = *learned(params), leapfrog

    def one(decode, x, observed, extras, posterior, zs, key):
        own_prior = conditioned(prior, extras)

        def bound(z, i):
            def log_joint(z):
                log_px = model.likelihood.log_prob(likelihood, decode(z, i), x, observed)
                return log_px + own_prior.log_prob(z)

            drawn = jax.random.fold_in(jax.random.fold_in(key, MOMENTUM_DRAW), i)
            noise, log_qz = jax.random.normal(drawn, z.shape), posterior.log_prob(z)
            return losses.hamiltonian_bound(log_joint, z, noise, log_qz, *how)

        return jnp.mean(jax.vmap(bound)(zs, jnp.arange(samples)))

    rows = batch.x, batch.observed, dict(batch.extras), outputs.posterior
    drawn = outputs.z[:, :samples], context.keys.latent
    return -context.decoding(one, outputs, *rows, *drawn)
