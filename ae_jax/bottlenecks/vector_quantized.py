"""One code of a learned codebook at every position."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._shapes import latent_shape, no_stats, same_state
from ae_jax.distributions import Quantized, UniformCodes
from ae_jax.errors import ConfigError, require_positive_ints
from ae_jax.types import Array, Bottleneck, PRNGKey, Tree

LEAST = 1e-20  # a count below which the mean of what a code stands for is lost to rounding


@BOTTLENECKS.register
def vector_quantized(
    latent_dim: int | tuple[int, ...],
    num_codes: int = 512,
    decay: float | None = 0.99,
    dead_below: float = 0.01,
) -> Bottleneck:
    """Z = e_j with j = argmin ‖z_e − e_j‖² at every position (van den Oord et al. 2017).

    Ties go to the code of lower number; gradients pass straight through to the features z_e. All
    mass of the posterior is on the nearest codes and the prior is uniform over codes, so that KL is
    positions · log num_codes, a constant, and bounds on log p(x) count it.

    With a `decay` the codebook follows moving averages (the paper's appendix A.1), which are state:
    with n_j the vectors given code j in a step and s_j their sum, over all positions, examples and
    devices,

        N_j ← γ N_j + (1 − γ) n_j        m_j ← γ m_j + (1 − γ) s_j        e_j ← m_j / N_j

    after the step has quantised with the old codes; N_j starts at 1. A code whose N_j has fallen
    below `dead_below` times the mean of all is replaced: by e_i + σ_i ε, with i drawn by its share
    of the step's vectors and σ_i² their mean squared distance from e_i a dimension, as if a vector
    of the step had been drawn. Its average starts anew, N_j at the mean and m_j = N_j e_j.

    Args:
      latent_dim: shape `(*positions, d)` of z, codes of size d, or d alone for one position; the
        encoder emits the same.
      num_codes: number of codes in the codebook.
      decay: decay γ of the averages, in [0, 1); None: the codebook is a parameter, moved by
        `ae.terms.codebook`.
      dead_below: share of the mean count, in [0, 1), below which a code is replaced; 0: none is.
        Without effect if decay is None.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: an argument outside its range.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.vector_quantized((7, 7, 16), num_codes=64)
      >>> bottleneck.feature_shape
      (7, 7, 16)
    """
    shape = latent_shape(latent_dim)
    require_positive_ints(num_codes=num_codes)
    if decay is not None and not 0 <= decay < 1:
        raise ConfigError(f"decay must lie in [0, 1) or be None, got {decay!r}")
    if not 0 <= dead_below < 1:
        raise ConfigError(f"dead_below must lie in [0, 1), got {dead_below!r}")

    def init(key):
        codebook = jax.random.normal(key, (num_codes, shape[-1]))
        if decay is None:
            return {"codebook": codebook}, {}
        return {}, {"codebook": codebook, "counts": jnp.ones(num_codes), "sums": codebook}

    def codebook_of(params, state):
        return (params if decay is None else state)["codebook"]

    def posterior(params, state, features):
        codebook = codebook_of(params, state)
        numbers = losses.nearest_codes(features, codebook)
        codes = codebook[numbers]
        return Quantized(losses.straight_through(features, codes), features, codes, numbers)

    if decay is None:
        stats, update = no_stats, same_state
    else:
        averaged = functools.partial(_averaged, decay=decay)
        stats = _stats
        update = lambda state, sums, key: _replaced(averaged(state, sums), sums, dead_below, key)
    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=init,
        posterior=posterior,
        latent=lambda params, state, posterior, key: posterior.value,
        prior=lambda params, state: UniformCodes(codebook_of(params, state), shape[:-1]),
        stats=stats,
        update=update,
    )


def _stats(state: Tree, posterior: Any, z: Array) -> dict[str, Array]:
    """How many vectors each code stands for, their sum, and their squared distances from it."""
    del z
    posterior = jax.lax.stop_gradient(posterior)
    size, dimension = state["codebook"].shape
    given = jax.nn.one_hot(posterior.numbers.reshape(-1), size, dtype=jnp.float32)
    rows = lambda v: v.reshape(-1, dimension).astype(jnp.float32)
    features = rows(posterior.features)
    errors = jnp.sum(jnp.square(features - rows(posterior.codes)), axis=1)
    total = lambda v: jnp.matmul(given.T, v, precision="highest")
    return {"counts": jnp.sum(given, axis=0), "sums": total(features), "errors": total(errors)}


def _averaged(state: Tree, sums: Tree, decay: float) -> dict[str, Array]:
    mix = lambda old, new: decay * old + (1 - decay) * new
    counts, totals = mix(state["counts"], sums["counts"]), mix(state["sums"], sums["sums"])
    used = counts[:, None] > LEAST
    means = totals / jnp.where(used, counts[:, None], 1)
    return {
        "codebook": jnp.where(used, means, state["codebook"]),
        "counts": counts,
        "sums": totals,
    }


def _replaced(state: Tree, sums: Tree, dead_below: float, key: PRNGKey) -> dict[str, Array]:
    codebook, counts = state["codebook"], state["counts"]
    fresh = jnp.mean(counts)
    dead = (counts < dead_below * fresh) & jnp.any(sums["counts"] > 0)
    which, where = jax.random.split(key)
    parents = jax.random.categorical(which, jnp.log(sums["counts"]), shape=counts.shape)
    variance = sums["errors"] / (jnp.maximum(sums["counts"], 1) * codebook.shape[1])
    noise = jax.random.normal(where, codebook.shape)
    drawn = codebook[parents] + jnp.sqrt(variance)[parents, None] * noise
    put = lambda new, old: jnp.where(dead.reshape(dead.shape + (1,) * (old.ndim - 1)), new, old)
    return {
        "codebook": put(drawn, codebook),
        "counts": put(fresh, counts),
        "sums": put(fresh * drawn, state["sums"]),
    }
