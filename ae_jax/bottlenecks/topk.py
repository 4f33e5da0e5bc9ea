"""A fixed number of units at a time."""

import math

import jax
import jax.numpy as jnp

from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._shapes import latent_shape
from ae_jax.checks import require_positive_ints
from ae_jax.distributions import SparseCode
from ae_jax.errors import ConfigError
from ae_jax.losses import sparsity
from ae_jax.types import Bottleneck

LONG_AGO = 2**30  # examples; counters stop here, far from where int32 would wrap


@BOTTLENECKS.register
def topk(
    latent_dim: int | tuple[int, ...], k: int, relu: bool = True, dead_after: int = 100_000
) -> Bottleneck:
    """The k largest features as they are, the others 0: the same k in training and evaluation.

    k counts over the whole latent of an example, whatever its shape. Ties go to the unit of lower
    index in row-major order, as `jax.lax.top_k` has it. A latent keeps fewer than k units in use
    where ReLU leaves fewer above 0.

    The state counts for every unit how many examples were trained on since it was last in use
    (other than 0) for any of them, over all devices; those at `dead_after` or above are dead, which
    `ae.terms.dead_units` revives.

    Args:
      latent_dim: size or shape of z, which the encoder emits.
      k: units that an example may use.
      relu: whether z = TopK(ReLU(h)), with no unit below 0 (Gao et al. 2024, "Scaling and
        evaluating sparse autoencoders"); False: the k largest of linear units (Makhzani & Frey
        2014, "k-Sparse Autoencoders").
      dead_after: examples without use after which a unit is dead (10 million tokens in Gao et al.).

    Returns:
      A Bottleneck whose posterior is a point mass.

    Raises:
      ConfigError: k is not a whole number from 1 to the number of units, or dead_after not one
        from 1 to 2**30.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> bottleneck = ae.bottlenecks.topk(4, k=2)
      >>> params, state = bottleneck.init(jax.random.key(0))
      >>> features = jnp.array([3.0, -1.0, 5.0, 1.0])
      >>> jax.jit(bottleneck.posterior)(params, state, features).mean.tolist()
      [3.0, 0.0, 5.0, 0.0]
    """
    shape = latent_shape(latent_dim)
    require_positive_ints(k=k, dead_after=dead_after)
    if k > (units := math.prod(shape)):
        raise ConfigError(
            f"k must lie in 1 to {units}, the units of latent_dim={latent_dim!r}, got {k}"
        )
    if dead_after > LONG_AGO:
        raise ConfigError(f"dead_after must not exceed {LONG_AGO} examples, got {dead_after}")

    def posterior(params, state, features):
        units = jax.nn.relu(features) if relu else features
        active = sparsity.top_k_places(units, k)
        dead = state["unused_for"] >= dead_after
        return SparseCode(sparsity.kept(units, active), units, dead, active)

    def update(state, sums, key):
        del key
        longer = jnp.minimum(state["unused_for"], LONG_AGO) + sums["examples"]
        return {"unused_for": jnp.where(sums["uses"] > 0, 0, longer)}

    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=lambda key: ({}, {"unused_for": jnp.zeros(shape, jnp.int32)}),
        posterior=posterior,
        latent=lambda params, state, posterior, key: posterior.value,
        prior=lambda params, state: None,
        stats=lambda state, posterior, z: {
            "uses": (posterior.value != 0).astype(jnp.int32),
            "examples": jnp.ones((), jnp.int32),
        },
        update=update,
    )
