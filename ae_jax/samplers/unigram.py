"""A law of a quantised latent's integers in which no two have to do with each other."""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.checks import require_positive
from ae_jax.samplers.code_transformer import counted
from ae_jax.samplers.sampler import SAMPLERS, Sampler
from ae_jax.types import Array, PRNGKey, Tree


@SAMPLERS.register
def unigram(smoothing: float = 0.5) -> Sampler:
    """p(n) = Π_t p_t(n_t): in each place, each integer as often as among the codes of its class.

    What a prior over the codes of a VQ-VAE is to be measured against: all that this leaves unsaid
    is how codes depend on each other. Counts are smoothed, p_t(n) = (c + α) / (N + α K), with α = ½
    the estimate of Krichevsky & Trofimov (1981), so that a code not seen is possible.

    Args:
      smoothing: α, added to each of the K counts.

    Returns:
      A Sampler of integers, whose state holds "log_shares" `[classes, d, size]`.

    Raises:
      ConfigError: smoothing not above 0.

    Example:
      >>> import ae_jax as ae, jax, numpy as np
      >>> state = ae.samplers.unigram(1.0).fit([[0], [0]], jax.random.key(0), size=2)
      >>> np.exp(state["log_shares"]).round(2).tolist()
      [[[0.75, 0.25]]]
    """
    require_positive(smoothing=smoothing)

    def estimate(codes: np.ndarray, labels: np.ndarray, key: PRNGKey, size: int) -> Tree:
        del key
        classes = range(int(labels.max()) + 1)
        counts = np.stack([counted(codes[labels == label], size) for label in classes])
        smooth = counts.astype(np.float64) + smoothing
        return {"log_shares": np.log(smooth / smooth.sum(axis=-1, keepdims=True))}

    def draw(state: Tree, key: PRNGKey, label: Array) -> Array:
        return jax.random.categorical(key, state["log_shares"][label]).astype(jnp.int32)

    def log_mass(state: Tree, code: Array, label: Array) -> Array:
        log_shares = state["log_shares"][label]
        return jnp.sum(jnp.take_along_axis(log_shares, code[:, None], axis=1))

    return Sampler(estimate, draw, log_mass, integers=True)
