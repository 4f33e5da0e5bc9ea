"""Bounds on log p(x) by importance sampling, with bounded memory."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from ae_jax.distributions import conditioned
from ae_jax.model import Autoencoder
from ae_jax.types import BATCH_AXIS, Array, Batch, PRNGKey, Spec, Told, Variables

CHUNK = 16
T = TypeVar("T")


class Total(NamedTuple):
    """Σ exp(log w) of any number of weights as exp(peak) · scaled.

    Two numbers hold it where one, its logarithm, would not: at log w = -1e5 a step of float32 is
    0.008 nats, and what a later chunk adds to the logarithm is less than half of that.
    """

    peak: Array
    scaled: Array

    def add(self, log_weights: Array) -> tuple["Total", Array, Array]:
        """The total with more weights; by how much old sums shrink, and the new weights' scale.

        Returns:
          The Total, exp(old peak - peak), and exp(log_weights - peak).
        """
        peak = jnp.maximum(self.peak, jnp.max(log_weights))
        safe = jnp.where(jnp.isfinite(peak), peak, 0)  # as long as all weights are 0
        shrink, weights = jnp.exp(self.peak - safe), jnp.exp(log_weights - safe)
        return Total(peak, shrink * self.scaled + jnp.sum(weights)), shrink, weights

    @property
    def log(self) -> Array:
        """Log Σ exp(log w)."""
        return self.peak + jnp.log(self.scaled)


def no_weight() -> Total:
    """The total of none."""
    return Total(jnp.array(-jnp.inf), jnp.array(0.0))


class Drawn(NamedTuple):
    """Samples of one example, c at a time.

    Attributes:
      log_weight: log p(x | z) p(z) / q(z | x), `[c]`, nats; -inf for places beyond the last.
      log_px: log p(x | z), `[c]`, nats.
      z: `[c, *latent]`.
      y: the decoder's output, `[c, *parameter_shape]`.
      number: the samples', int32 `[c]`.
    """

    log_weight: Array
    log_px: Array
    z: Array
    y: Array
    number: Array


def over_importance_samples(
    model: Autoencoder,
    variables: Variables,
    batch: Batch,
    keys: PRNGKey,
    samples: int,
    start: T,
    fold: Callable[[T, Drawn, PRNGKey], T],
) -> T:
    """A sum over z_i ~ q(z | x), i < samples, of every example, some 16 samples at a time.

    Args:
      model: the Autoencoder.
      variables: its Variables.
      batch: x is `[b, *event]`, preprocessed.
      keys: typed keys `[b]`.
      samples: k, exactly.
      start: of the sum, of one example.
      fold: `(sum, drawn, key) -> sum` of one example; the key is the example's.

    Returns:
      The sums, leaves `[b, …]`. Memory does not grow with k.
    """
    chunk = min(samples, CHUNK)
    likelihood_params, _ = variables.part("likelihood")
    prior: Any = model.prior(variables)

    def one(x, observed, extras, key):
        posterior = model.posterior_of_one(variables, x, observed, extras)
        pz, active = conditioned(prior, extras), getattr(posterior, "active", None)
        told = Told(x, observed, extras, active=active)

        def sample(i):
            sample_key = jax.random.fold_in(key, i)
            z, log_q, _, shown = model.draw(variables, posterior, sample_key)
            y, _, _ = model.decode_one(variables, z, told._replace(key=sample_key), shown=shown)
            y = model.given(y, x, observed)
            log_px = log_w = model.likelihood.log_prob(likelihood_params, y, x, observed)
            if log_q is not None and pz is not None:
                log_w = log_px + pz.log_prob(z) - log_q
            return Drawn(jnp.where(i < samples, log_w, -jnp.inf), log_px, z, y, i)

        def body(c, total):
            return fold(total, jax.vmap(sample)(c * chunk + jnp.arange(chunk)), key)

        return jax.lax.fori_loop(0, -(-samples // chunk), body, start)

    rows = batch.x, batch.observed, dict(batch.extras), keys
    return jax.vmap(one, axis_name=BATCH_AXIS)(*rows)


def has_bound(model: Autoencoder, variables: Variables, spec: Spec) -> bool:
    """Whether p(x | z), p(z) and q(z | x) have densities, and log p(x) a bound made of them.

    A code that is a point has none, whatever prior its aggregate was fitted to: those of plain and
    Wasserstein autoencoders and of adversarial ones. Nor has what a generator emits.

    Args:
      model: the Autoencoder.
      variables: its Variables, or their shapes.
      spec: of one example.

    Example:
      >>> import ae_jax as ae
      >>> runs = [
      ...     ae.fit(r(2), "digits", steps=1, progress=False)
      ...     for r in (ae.recipes.vae, ae.recipes.wae_mmd)
      ... ]
      >>> [ae.evaluation.has_bound(run.model, run.variables, run.spec) for run in runs]
      [True, False]
    """
    if model.encoder is None or jax.eval_shape(model.prior, variables) is None:
        return False
    bottleneck, likelihood = model.bottleneck, model.likelihood

    def densities(variables, features, x):
        params, state = variables.part("bottleneck")
        posterior = bottleneck.posterior(params, state, features)
        log_q = posterior.log_prob(bottleneck.latent(params, state, posterior, None))
        y = jnp.zeros(likelihood.parameter_shape(x.shape))
        return log_q, likelihood.log_prob(variables.part("likelihood")[0], y, x, None)

    shaped = lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    given = variables, shaped(bottleneck.feature_shape), shaped(spec.event_shape)
    return None not in jax.eval_shape(densities, *given)


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
    add = lambda total, drawn, key: total.add(drawn.log_weight)[0]
    row = model, variables, batch, keys, samples
    return over_importance_samples(*row, no_weight(), add).log - math.log(samples)
