"""Gaussian posteriors led through a flow."""

from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS, FLOWS
from ae_jax.bottlenecks._prior import Held, vector_shape
from ae_jax.bottlenecks._shapes import no_stats, same_state
from ae_jax.distributions import DiagonalGaussian, Transformed
from ae_jax.errors import ConfigError
from ae_jax.types import Bottleneck


@BOTTLENECKS.register
def flow(
    latent_dim: int,
    flow: Any = "inverse_autoregressive",
    context: int = 32,
    prior: Any = "standard_normal",
) -> Bottleneck:
    """q(z | x): N(μ, diag σ²) led through a flow that is told h of x (Kingma et al. 2016).

    The encoder emits μ, the raw log σ² and h. Samples and their densities take one pass forward;
    KL is by Monte Carlo from the same samples. Of "planar", h gives the planes themselves (Rezende
    & Mohamed 2015). Without a key the latent is where μ is led.

    Args:
      latent_dim: d; the encoder must emit 2 d + context numbers.
      flow: a Flow, name or config node.
      context: the size of h; 0: the flow is the same for every x.
      prior: a Prior or its config node.

    Example:
      >>> import ae_jax as ae
      >>> ae.bottlenecks.flow(4, "planar", context=8).feature_shape
      (16,)
    """
    shape, built = vector_shape("a flow", latent_dim), FLOWS.build(flow)
    (size,) = shape
    if isinstance(context, bool) or not isinstance(context, int) or context < 0:
        raise ConfigError(f"context must be a whole number of at least 0, got {context!r}")
    held = Held(prior, shape, "vectors")
    draw = lambda key: built.init(key, size, context)
    jax.eval_shape(lambda: draw(jax.random.key(0)))  # whether it can be of this size

    def init(key, example=None):
        of_flow, of_prior = jax.random.split(key)
        return {"flow": draw(of_flow), "prior": held.init(of_prior, example)}, {}

    def posterior(params, state, features):
        loc, raw, told = jnp.split(features, (size, 2 * size))
        base = DiagonalGaussian(loc, losses.bounded_log_var(raw))
        return Transformed(base, params["flow"], told if context else None, built)

    return Bottleneck(
        latent_shape=shape,
        feature_shape=(2 * size + context,),
        init=init,
        posterior=posterior,
        latent=lambda params, state, q, key: q.mode if key is None else q.sample(key),
        prior=lambda params, state, encode=None: held(params.get("prior", {}), encode),
        stats=no_stats,
        update=same_state,
    )
