"""Bounds on log p(x) by importance sampling, with bounded memory."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.distributions import conditioned
from ae_jax.model import Autoencoder
from ae_jax.types import BATCH_AXIS, Array, Batch, PRNGKey, Told, Variables

CHUNK = 16


def log_likelihood(
    model: Autoencoder,
    variables: Variables,
    batch: Batch,
    keys: PRNGKey,
    samples: int,
) -> Array:
    """The importance-weighted bound log 1/k Σ p(x | z) p(z) / q(z | x) ≤ log p(x), nats.

    With k = 1 it is the ELBO's estimate; it rises to log p(x) with k (Burda, Grosse & Salakhutdinov
    2016). Samples are drawn in chunks of at most 16, so memory does not grow with k. For a model
    without a posterior density it is log p(x | z) at its code.

    Args:
      model: the Autoencoder.
      variables: its Variables.
      batch: x is `[b, *event]`, preprocessed.
      keys: typed keys `[b]`.
      samples: k, exactly.

    Returns:
      `[b]`.
    """
    chunk = min(samples, CHUNK)
    likelihood_params, _ = variables.part("likelihood")
    prior: Any = model.prior(variables)

    def one(x, observed, extras, key):
        posterior = model.posterior_of_one(variables, x, observed, extras)
        pz, active = conditioned(prior, extras), getattr(posterior, "active", None)
        told = Told(x, observed, extras, active=active)

        def log_weight(i):
            own = jax.random.fold_in(key, i)
            z, log_q = model.draw(variables, posterior, own)
            y, _, _ = model.decode_one(variables, z, told._replace(key=own))
            y = model.given(y, x, observed)
            log_w = model.likelihood.log_prob(likelihood_params, y, x, observed)
            if log_q is not None and pz is not None:
                log_w = log_w + pz.log_prob(z) - log_q
            return jnp.where(i < samples, log_w, -jnp.inf)

        def body(c, total):
            log_w = jax.vmap(log_weight)(c * chunk + jnp.arange(chunk))
            return jnp.logaddexp(total, jax.scipy.special.logsumexp(log_w))

        total = jax.lax.fori_loop(0, -(-samples // chunk), body, jnp.array(-jnp.inf))
        return total - math.log(samples)

    rows = batch.x, batch.observed, dict(batch.extras), keys
    return jax.vmap(one, axis_name=BATCH_AXIS)(*rows)
