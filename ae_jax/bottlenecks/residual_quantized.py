"""Several codes a position, each of what those before it left over."""

import functools

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks import _codebook
from ae_jax.bottlenecks._codebook import Averages
from ae_jax.bottlenecks._lattice import SumOfCodes
from ae_jax.bottlenecks._shapes import latent_shape, no_stats, same_state
from ae_jax.checks import require_positive_ints, require_unit_interval
from ae_jax.distributions import Quantized
from ae_jax.types import Bottleneck, Codes


@BOTTLENECKS.register
def residual_quantized(
    latent_dim: int | tuple[int, ...],
    levels: int = 4,
    num_codes: int = 256,
    decay: float | None = 0.99,
    dead_below: float = 0.01,
    dropout: float = 0.0,
    rotation: bool = False,
    kmeans: bool = False,
) -> Bottleneck:
    """Z = Σ_l e_l, level l the nearest code to the rest r_l = z_e − Σ_{i<l} e_i (SoundStream).

    Every level has a codebook of its own, kept as that of `vector_quantized`; one of its codes is
    the integer `[*positions, levels]` of a latent, whose first n levels are a coarser code. The
    gradient of z goes to z_e once, however many levels there are; `ae.terms.commitment` and
    `codebook` sum ‖r_l − e_l‖² over levels.

    Quantiser dropout: in training the decoder is given, with probability `dropout`, only the first
    n levels of an example, n uniform in 1 … levels, so that it can decode any number of them. What
    is left out goes on following its residuals.

    Args:
      latent_dim: shape `(*positions, d)` of z, or d alone for one position; the encoder must
        emit the same.
      levels: number of codes a position.
      num_codes: number of codes in each level's codebook.
      decay: decay γ of the moving averages, in [0, 1); None: codebooks are parameters, moved by
        `ae.terms.codebook`.
      dead_below: share of the mean count below which a code is replaced, see `vector_quantized`.
      dropout: probability, in [0, 1], that levels of an example are left out in training; 1 in
        SoundStream, ½ in Kumar et al. 2023.
      rotation: whether the gradient passes through the rotation that takes z_e to z.
      kmeans: whether `fit` starts each codebook at k-means of its residuals on the first batch, see
        `vector_quantized`; otherwise codes of level l start as normal of deviation 2^−l.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: an argument outside its range; from `start`, fewer features than codes.

    References:
      Zeghidour et al., "SoundStream: an end-to-end neural audio codec", 2021; Lee et al.,
      "Autoregressive image generation using residual quantization", 2022.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.residual_quantized((4, 4, 8), levels=3, num_codes=64)
      >>> bottleneck.codes.shape, bottleneck.codes.size
      ((4, 4, 3), 64)
    """
    shape = latent_shape(latent_dim)
    require_positive_ints(levels=levels, num_codes=num_codes)
    _codebook.require_averages(decay, dead_below)
    require_unit_interval(dropout=dropout)
    how = Averages(0.0 if decay is None else decay, dead_below)
    through = losses.rotate_through if rotation else losses.straight_through

    def kept(codebooks, counts=None):
        if decay is None:
            return {"codebook": codebooks}, {}
        return {}, jax.vmap(_codebook.fresh)(codebooks, *([] if counts is None else [counts]))

    def init(key):
        scale = 0.5 ** jnp.arange(levels)
        return kept(scale[:, None, None] * jax.random.normal(key, (levels, num_codes, shape[-1])))

    def codebooks_of(params, state):
        return (params if decay is None else state)["codebook"]

    def posterior(params, state, features):
        rest, found = features, []
        for codebook in codebooks_of(params, state):
            numbers = losses.nearest_codes(rest, codebook)
            found.append((rest, codebook[numbers], numbers))
            rest = rest - jax.lax.stop_gradient(codebook[numbers])
        rests, codes, numbers = zip(*found, strict=True)
        rests, codes = jnp.stack(rests), jnp.stack(codes)
        value = through(features, jnp.sum(codes, axis=0))
        return Quantized(value, rests, codes, jnp.stack(numbers, axis=-1))

    def latent(params, state, posterior, key, train=False):
        if not train or key is None or not dropout:
            return posterior.value
        some, many = jax.random.split(key)
        number = jax.random.randint(many, (), 1, levels + 1)
        number = jnp.where(jax.random.bernoulli(some, dropout), number, levels)
        used = (jnp.arange(levels) < number).reshape(-1, *[1] * len(shape))
        codes = jnp.sum(jnp.where(used, posterior.codes, 0), axis=0)
        return through(posterior.features[0], codes)

    def stats(state, posterior, z):
        numbers = jnp.moveaxis(posterior.numbers, -1, 0)
        each = jax.vmap(functools.partial(_codebook.sums_of, size=num_codes))
        return each(posterior.features, posterior.codes, numbers)

    def update(state, sums, key):
        each = jax.vmap(functools.partial(_codebook.updated, how=how))
        return each(state, sums, jax.random.split(key, levels))

    def start(params, state, features, key):
        found = []
        for own in jax.random.split(key, levels):
            codebook, counts = _codebook.k_means(features, num_codes, own)
            found.append((codebook, counts))
            features = features - codebook[losses.nearest_codes(features, codebook)]
        codebooks, counts = map(jnp.stack, zip(*found, strict=True))
        return kept(codebooks, counts)

    def of_numbers(params, state, numbers):
        codebooks = codebooks_of(params, state)
        codes = [codebooks[i][numbers[..., i]] for i in range(numbers.shape[-1])]
        return jnp.sum(jnp.stack(codes), axis=0)

    return Bottleneck(
        latent_shape=shape,
        feature_shape=shape,
        init=init,
        posterior=posterior,
        latent=latent,
        prior=lambda params, state: SumOfCodes(codebooks_of(params, state), shape[:-1]),
        stats=no_stats if decay is None else stats,
        update=same_state if decay is None else update,
        codes=Codes((*shape[:-1], levels), num_codes, of_numbers, nested=True),
        start=start if kmeans else None,
    )
