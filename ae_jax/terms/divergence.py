"""How far the posterior of one example is from the prior."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_not_negative, require_positive_ints
from ae_jax.distributions import conditioned, kl_divergence
from ae_jax.errors import PartError
from ae_jax.terms._gaussians import gaussian, gaussian_prior
from ae_jax.terms._registered import registered
from ae_jax.types import Array, Context, Outputs


@registered()
def kl(outputs: Outputs, context: Context) -> Array:
    """KL(q(z | x) ‖ p(z)), nats: in closed form where there is one, else log q(z) - log p(z).

    The Monte Carlo form averages over latent samples (Kingma & Welling 2014). Of a hierarchy it is
    the sum of each level's KL in closed form, given the sampled levels above.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 4.0 * ae.terms.kl()
      Objective(1.0 · reconstruction + 4.0 · kl)
    """
    if outputs.level_kl is not None:
        return jnp.mean(jnp.sum(outputs.level_kl, axis=-1), axis=1)
    prior = context.model.prior(context.variables)
    if prior is not None:
        extras = dict(context.batch.extras)
        pair = lambda q, extras: kl_divergence(q, conditioned(prior, extras))
        closed = jax.vmap(pair)(outputs.posterior, extras)
        if closed is not None:
            return closed
    return _monte_carlo(outputs, "kl")


@registered()
def monte_carlo_kl(outputs: Outputs, context: Context, samples: int = 1) -> Array:
    """Log q(z | x) - log p(z), nats, averaged over `samples` latent samples; may be negative.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      samples: latent samples an example.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.monte_carlo_kl(samples=8)
      Objective(1.0 · monte_carlo_kl)
    """
    del context
    return _monte_carlo(outputs, "monte_carlo_kl", samples)


def _monte_carlo(outputs: Outputs, name: str, samples: int | None = None) -> Array:
    if outputs.log_qz is None or outputs.log_pz is None:
        raise PartError(
            f"the term '{name}' needs a bottleneck with a posterior density and a prior, such as "
            "ae.bottlenecks.gaussian"
        )
    return jnp.mean((outputs.log_qz - outputs.log_pz)[:, :samples], axis=1)


@registered(batch_coupled=True, check=lambda threshold: require_not_negative(threshold=threshold))
def free_bits(outputs: Outputs, context: Context, threshold: float) -> Array:
    """Σ_j max(λ, KL_j), with KL_j the batch mean of dimension j (Kingma et al. 2016).

    Takes the place of `kl`; dimensions below the threshold have no gradient. Of a hierarchy j is a
    level, with the KL that `kl` sums.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      threshold: λ, nats that each latent dimension, or each level, may use at no cost.

    Returns:
      scalar, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.free_bits(threshold=0.5)
      Objective(1.0 · free_bits)
    """
    if outputs.level_kl is not None:
        by_level = context.mean(jnp.mean(outputs.level_kl, axis=1))
        return losses.free_bits(by_level, threshold)
    q = gaussian(outputs, "free_bits")
    p = gaussian_prior(context, "free_bits")
    dimension = lambda *values: losses.kl_diagonal_gaussians(*values)
    each = jax.vmap(dimension)  # over latent dimensions
    flat = lambda v: v.reshape(v.shape[0], -1)
    prior_loc, prior_log_var = p.loc.reshape(-1), p.log_var.reshape(-1)
    per_dimension = jax.vmap(lambda m, v: each(m, v, prior_loc, prior_log_var))(
        flat(q.loc), flat(q.log_var)
    )
    return losses.free_bits(context.mean(per_dimension), threshold)


def _check_capacity(target: float, steps: int, gamma: float) -> None:
    require_not_negative(target=target, gamma=gamma)
    require_positive_ints(steps=steps)


@registered(batch_coupled=True, check=_check_capacity)
def capacity(
    outputs: Outputs, context: Context, target: float, steps: int = 1, gamma: float = 1.0
) -> Array:
    """γ |KL - C|, KL the batch mean and C rising linearly to `target` nats (Burgess et al. 2018).

    Takes the place of `kl`. C is `target` from step `steps` on.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      target: C from step `steps` on, in nats.
      steps: training steps over which C rises from 0.
      gamma: γ, weight of the distance from C.

    Returns:
      scalar, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.capacity(target=25.0, steps=1_000, gamma=100.0)
      Objective(1.0 · capacity)
    """
    mean_kl = context.mean(kl().terms[0].per_example(outputs, context))
    risen = jnp.minimum(context.step / steps, 1.0)
    return losses.capacity(mean_kl, target * risen, gamma)
