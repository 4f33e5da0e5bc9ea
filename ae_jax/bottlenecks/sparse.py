"""Sigmoid units, whose mean activation a sparsity term can hold low."""

import jax
import jax.numpy as jnp

from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._shapes import latent_shape
from ae_jax.checks import require_below_one
from ae_jax.distributions import PointMass
from ae_jax.types import Bottleneck

EPSILON = 1e-6  # keeps constant features finite


@BOTTLENECKS.register
def sparse(
    latent_dim: int | tuple[int, ...], decay: float = 0.99, normalise: bool = False
) -> Bottleneck:
    """Latent z = σ(features), units in (0, 1) (Ng 2011, "Sparse autoencoder").

    Its state keeps the running average of every unit's activation over the training set, for
    `ae.terms.sparsity(running=True)` and for looking at: after t steps with batch means m_t,
    a_t = d a_{t-1} + (1 - d) m_t with d = min(decay, (t - 1) / t), a plain mean to begin with.

    Args:
      latent_dim: size or shape of z, which the encoder emits.
      decay: decay of the running average, in [0, 1).
      normalise: whether the features are standardised over the units of an example first, and given
        a learned gain and bias a unit. The penalty holds the mean of each unit over examples; this
        holds the number of units that one example may use as well.

    Returns:
      A Bottleneck whose posterior is a point mass.

    Raises:
      ConfigError: a decay outside [0, 1).

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> bottleneck = ae.bottlenecks.sparse(2)
      >>> params, state = bottleneck.init(jax.random.key(0))
      >>> bottleneck.posterior(params, state, jnp.zeros(2)).mean.tolist()
      [0.5, 0.5]
    """
    shape = latent_shape(latent_dim)
    require_below_one(decay=decay)

    def init(key):
        del key
        params = {"gain": jnp.ones(shape), "bias": jnp.zeros(shape)} if normalise else {}
        return params, {"mean_activation": jnp.full(shape, 0.5), "steps": jnp.zeros(())}

    def posterior(params, state, features):
        del state
        if normalise:
            centred = features - jnp.mean(features)
            unit = centred * jax.lax.rsqrt(jnp.mean(centred**2) + EPSILON)
            features = params["gain"] * unit + params["bias"]
        return PointMass(jax.nn.sigmoid(features))

    def update(state, sums, key):
        del key
        now = sums["activation"] / jnp.maximum(sums["examples"], 1)
        keep = jnp.minimum(decay, state["steps"] / (state["steps"] + 1))
        average = keep * state["mean_activation"] + (1 - keep) * now
        return {"mean_activation": average, "steps": state["steps"] + 1}

    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=init,
        posterior=posterior,
        latent=lambda params, state, posterior, key: posterior.value,
        prior=lambda params, state: None,
        stats=lambda state, posterior, z: {
            "activation": posterior.value,
            "examples": jnp.ones(()),
        },
        update=update,
    )
