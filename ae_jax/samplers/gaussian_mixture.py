"""A mixture of Gaussians with full covariances."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.checks import require_positive_ints
from ae_jax.samplers.sampler import SAMPLERS, Sampler, by_class, standardise
from ae_jax.types import Array, PRNGKey, Tree

COUNTS = (1, 2, 3, 5, 10, 20, 50)  # components tried, in this order
EACH = 4  # codes a component, at least, of those that a count is tried on
SHARE = 5  # one of so many codes is held out


@SAMPLERS.register
def gaussian_mixture(components: int | None = None) -> Sampler:
    """A mixture, p(z) = Σ_k w_k N(z; μ_k, Σ_k), fitted by expectation maximisation, one a class.

    What Ghosh et al. 2020, "From variational to deterministic autoencoders", sample the codes of a
    regularised autoencoder from. Fitted by scikit-learn on standardised codes, with 1e-6 added to
    each covariance's diagonal; evaluated and drawn from in JAX.

    Args:
      components: K, of each class; None: of 1, 2, 3, 5, 10, 20 and 50 the first that gives a
        held-out fifth of the codes a higher likelihood than the next does.

    Returns:
      A Sampler, whose state holds by class "log_weights" `[K]`, "means" `[K, d]`, "factors"
      `[K, d, d]`, lower triangular L with Σ = L Lᵀ, and "log_dets" `[K]`, of L. A class of fewer
      components than the largest is filled up with some of weight 0.

    Raises:
      ConfigError: components that are no positive whole number; when fitted, DataError for a class
        of fewer codes than components.
    """
    if components is not None:
        require_positive_ints(components=components)

    def estimate(codes: np.ndarray, labels: np.ndarray, key: PRNGKey) -> Tree:
        seeds = np.asarray(jax.random.key_data(key), np.uint32)

        def one(of_class: np.ndarray, label: int) -> dict[str, np.ndarray]:
            given = standardise(of_class)
            seed = np.append(seeds, np.uint32(label))
            count = _best_count(given.codes, seed) if components is None else components
            mixture = _mixture(given.codes, count, seed)
            factors = given.scale[:, None] * np.linalg.cholesky(mixture.covariances_)
            return {
                "log_weights": np.log(np.maximum(mixture.weights_, 1e-30)),
                "means": given.loc + given.scale * mixture.means_,
                "factors": factors,
                "log_dets": np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1),
            }

        what = "a Gaussian mixture" + ("" if components is None else f" of {components} components")
        return by_class(one, codes, labels, max(components or 2, 2), what, FILLING)

    return Sampler(estimate, draw, log_density)


FILLING = {"log_weights": -np.inf, "means": 0.0, "factors": 1.0, "log_dets": 0.0}


def _mixture(codes: np.ndarray, components: int, seed: np.ndarray) -> Any:
    from sklearn.mixture import GaussianMixture

    state = np.random.RandomState(seed)
    return GaussianMixture(components, max_iter=500, random_state=state).fit(codes)


def _best_count(codes: np.ndarray, seed: np.ndarray) -> int:
    """How many components give a held-out fifth of the codes the highest likelihood."""
    held = np.random.RandomState(seed).permutation(len(codes)) % SHARE == 0
    best, highest = 1, -np.inf
    for count in COUNTS:
        if count * EACH > (~held).sum():
            break
        score = _mixture(codes[~held], count, seed).score(codes[held])
        if score < highest:
            break
        best, highest = count, score
    return best


def draw(state: Tree, key: PRNGKey, label: Array) -> Array:
    """μ_k + L_k ε with k ~ w and ε ~ N(0, I)."""
    which, noise = jax.random.split(key)
    k = jax.random.categorical(which, state["log_weights"][label])
    mean = state["means"][label, k]
    return mean + state["factors"][label, k] @ jax.random.normal(noise, mean.shape)


def log_density(state: Tree, code: Array, label: Array) -> Array:
    """The mixture's log-density log Σ_k w_k N(z; μ_k, Σ_k), nats."""

    def component(mean: Array, factor: Array) -> Array:
        white = jax.scipy.linalg.solve_triangular(factor, code - mean, lower=True)
        return -0.5 * jnp.sum(white**2)

    exponents = jax.vmap(component)(state["means"][label], state["factors"][label])
    constant = -0.5 * code.shape[-1] * math.log(2 * math.pi)
    logs = state["log_weights"][label] + exponents - state["log_dets"][label]
    return jax.nn.logsumexp(logs) + constant
