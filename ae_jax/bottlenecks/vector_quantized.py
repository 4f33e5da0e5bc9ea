"""One code of a learned codebook at every position."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks import _codebook
from ae_jax.bottlenecks._codebook import Averages, unit
from ae_jax.bottlenecks._shapes import latent_shape, no_stats, same_state
from ae_jax.checks import require_positive_ints
from ae_jax.distributions import Quantized, UniformCodes
from ae_jax.types import Array, Bottleneck, Codes, Tree


@BOTTLENECKS.register
def vector_quantized(
    latent_dim: int | tuple[int, ...],
    num_codes: int = 512,
    decay: float | None = 0.99,
    dead_below: float = 0.01,
    smoothing: float = 0.0,
    code_dim: int | None = None,
    cosine: bool = False,
    rotation: bool = False,
    kmeans: bool = False,
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
      latent_dim: shape `(*positions, d)` of z, codes of size d, or d alone for one position;
        the encoder emits the same.
      num_codes: number of codes in the codebook.
      decay: decay γ of the averages, in [0, 1); None: the codebook is a parameter, moved by
        `ae.terms.codebook`.
      dead_below: share of the mean count, in [0, 1), below which a code is replaced; 0: none is.
        Without effect if decay is None.
      smoothing: number ε of Laplace smoothing, in [0, 1): e_j = m_j / N'_j with
        N'_j = (N_j + ε) N / (N + num_codes ε), N the sum of all N_j. 1e-5 is usual; it draws codes
        that fall out of use towards 0, and the mean of what a code stood for needs none.
      code_dim: size of the codes where it is smaller than d: z_e is projected to it, quantised
        there, and projected back, both by learned matrices (Yu et al. 2022, "Vector-quantized image
        modeling with improved VQGAN"). None: d.
      cosine: whether features and codes have unit length, so that the nearest code is that of the
        largest cosine (the same paper).
      rotation: whether the gradient passes through the rotation that takes features to their codes,
        in place of straight through; see `ae.losses.rotate_through`.
      kmeans: whether `fit` starts the codebook at ten turns of k-means on the features of the first
        batch, from num_codes of them drawn without replacement: one computation on the whole batch,
        the same on any number of devices (Zeghidour et al. 2021, "SoundStream"). Not in a run that
        starts from another's parameters. Otherwise codes start as standard normal.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: an argument outside its range; from `start`, fewer features than codes.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.vector_quantized((4, 4, 8), num_codes=64)
      >>> bottleneck.codes.shape, bottleneck.codes.size
      ((4, 4), 64)
    """
    shape = latent_shape(latent_dim)
    size = shape[-1] if code_dim is None else code_dim
    require_positive_ints(num_codes=num_codes, code_dim=size)
    _codebook.require_averages(decay, dead_below, smoothing)
    how = Averages(0.0 if decay is None else decay, dead_below, smoothing, cosine)
    through = losses.rotate_through if rotation else losses.straight_through
    home = "params" if decay is None else "state"

    def init(key):
        codebook = jax.random.normal(key, (num_codes, size))
        params, state = {}, {}
        if code_dim is not None:
            params = _projections(jax.random.fold_in(key, 1), shape[-1], size)
        codebook = unit(codebook) if cosine else codebook
        if decay is None:
            return {**params, "codebook": codebook}, state
        return params, _codebook.fresh(codebook)

    def codebook_of(params, state):
        codebook = {"params": params, "state": state}[home]["codebook"]
        return unit(codebook) if cosine else codebook

    def projected(params, features):
        features = features if code_dim is None else jnp.matmul(features, params["down"])
        return unit(features) if cosine else features

    def back(params, codes):
        return codes if code_dim is None else jnp.matmul(codes, params["up"])

    def posterior(params, state, features):
        codebook, features = codebook_of(params, state), projected(params, features)
        numbers = losses.nearest_codes(features, codebook)
        codes = codebook[numbers]
        return Quantized(back(params, through(features, codes)), features, codes, numbers)

    def start(params, state, features, key):
        vectors = projected(params, features)
        codebook, counts = _codebook.k_means(vectors, num_codes, key, unit if cosine else None)
        if decay is None:
            return {**params, "codebook": codebook}, state
        return params, _codebook.fresh(codebook, counts)

    stats, update = no_stats, same_state
    if decay is not None:
        stats = lambda state, q, z: _codebook.sums_of(q.features, q.codes, q.numbers, num_codes)
        update = lambda state, sums, key: _codebook.updated(state, sums, key, how)
    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=init,
        posterior=posterior,
        latent=lambda params, state, posterior, key: posterior.value,
        prior=lambda params, state: UniformCodes(
            back(params, codebook_of(params, state)), shape[:-1]
        ),
        stats=stats,
        update=update,
        codes=Codes(
            shape[:-1],
            num_codes,
            lambda params, state, numbers: back(params, codebook_of(params, state)[numbers]),
        ),
        start=start if kmeans else None,
    )


def _projections(key: Array, wide: int, narrow: int) -> Tree:
    down, up = jax.random.split(key)
    return {
        "down": jax.random.normal(down, (wide, narrow)) / jnp.sqrt(wide),
        "up": jax.random.normal(up, (narrow, wide)) / jnp.sqrt(narrow),
    }
