"""The network that leads from the top of a hierarchy of Gaussians to its bottom."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ae_jax import losses
from ae_jax._registry import plain
from ae_jax.bottlenecks._shapes import latent_shape, no_stats, same_state
from ae_jax.distributions import DiagonalGaussian, Hierarchy, standard_normal
from ae_jax.distributions.hierarchy import Level, Walk, split
from ae_jax.errors import ConfigError
from ae_jax.losses._precision import at_least_float32
from ae_jax.networks._dense import Dense
from ae_jax.networks._layers import at_full_precision
from ae_jax.networks.common import Common
from ae_jax.networks.conv import Convolution
from ae_jax.networks.resnet import KERNEL, ResidualBlock
from ae_jax.types import Array, Bottleneck, PRNGKey, Shape, Tree

Initializer = Callable[..., Array]
Merge = Callable[["TopDown", DiagonalGaussian, Array | None, Array, int], DiagonalGaussian]


class TopDown(nn.Module):
    """From p(z_L) = N(0, I) down: each level's prior, its posterior where told of x, its latent.

    Attributes:
      shapes: of the latents, the bottom's first, `(d,)` or `(h, w, d)`.
      width: of the layers between levels.
      depth: layers, or residual blocks, between two levels.
      merge: makes the posterior of the prior, of the state above it and of what is told of x.
      skip: whether a level's latent is added to the state above it, so that all levels below know
        of it, or takes its place: a Markov chain.
      common: options that the layers share.
    """

    shapes: tuple[Shape, ...]
    width: int
    depth: int
    merge: Merge
    skip: bool
    common: Common

    @nn.compact
    def __call__(self, told: Any, pick: Callable[[int, Any], Array]) -> Walk:
        """See `ae_jax.distributions.Hierarchy.walk`."""
        state, levels = None, []
        for number in reversed(range(len(self.shapes))):
            shape = self.shapes[number]
            prior = standard_normal(shape)
            if state is not None:
                state = LEADS[len(shape)](self, state, shape, number)
                numbers = self.moments(state, shape[-1], f"prior_{number}", self.first_prior)
                prior = gaussian(numbers)
            posterior = None
            if told is not None:
                posterior = self.merge(self, prior, state, told[number], number)
            z = pick(number, prior if posterior is None else posterior)
            levels.append(Level(z, prior, posterior))
            state = self.entered(state, z, number)
        assert state is not None
        return Walk(tuple(reversed(levels)), at_full_precision(state))

    def entered(self, state: Array | None, z: Array, number: int) -> Array:
        """The state below a level, of the state above it and its latent."""
        if not self.skip:
            return z
        z = Dense(self.width, self.common.dtype, name=f"latent_{number}")(z)
        return z if state is None else state + z

    def layer(self, rank: int, name: str) -> nn.Module:
        """The layer of a vector or of an image."""
        if rank == 1:
            return Dense(self.width, self.common.dtype, name=name)
        return Convolution(self.width, KERNEL, dtype=self.common.dtype, name=name)

    def moments(self, x: Array, size: int, name: str, first: Initializer) -> Array:
        """Numbers `[…, 2 size]` in full precision, position by position."""
        return at_full_precision(Dense(2 * size, self.common.dtype, first, name=name)(x))

    @property
    def first_prior(self) -> Initializer:
        """Initial weights of the priors' heads: where latents add up 0, so that p = N(0, I)."""
        return nn.initializers.zeros if self.skip else nn.initializers.lecun_normal()


def means_alone(key: PRNGKey, shape: Shape, dtype: Any = jnp.float32) -> Array:
    """Initial weights `[c, 2 d]` of a head whose means tell of its input and whose log σ² is 0.

    A variance that grows with the state would let the state grow from level to level without end;
    means of 0 would leave a level unused until the decoder has learned to do without it.
    """
    means = nn.initializers.lecun_normal()(key, (shape[0], shape[1] // 2), dtype)
    return jnp.concatenate([means, jnp.zeros_like(means)], axis=1)


def gaussian(numbers: Array) -> DiagonalGaussian:
    """N(μ, diag σ²) of μ and the raw log σ² side by side on the last axis."""
    loc, raw = jnp.split(numbers, 2, axis=-1)
    return DiagonalGaussian(loc, losses.bounded_log_var(raw))


def _dense(net: TopDown, state: Array, shape: Shape, number: int) -> Array:
    """Layers from one vector to the next below."""
    del shape
    for i in range(net.depth):
        state = net.common.activate(net.layer(1, f"down_{number}_{i}")(state))
    return state


def _convolutional(net: TopDown, state: Array, shape: Shape, number: int) -> Array:
    """Every position repeated twice a side and cropped, a convolution, residual blocks."""
    height, wide = shape[:2]
    state = jnp.repeat(jnp.repeat(state, 2, axis=0), 2, axis=1)[:height, :wide]
    state = net.layer(3, f"down_{number}")(state)
    for i in range(net.depth):
        name = f"down_{number}_{i}"
        state = ResidualBlock(net.width, None, net.common, False, name=name)(state)
    return state


LEADS = {1: _dense, 3: _convolutional}
"""By the rank of a latent, how the state reaches the next level."""


def precision_weighted(
    net: TopDown, prior: DiagonalGaussian, state: Array | None, told: Array, number: int
) -> DiagonalGaussian:
    """The normalised product of the prior and the encoder's own Gaussian; at the top the latter.

    σ⁻² = σ̂⁻² + σ_p⁻², μ = σ² (μ̂ σ̂⁻² + μ_p σ_p⁻²) (Sønderby et al. 2016, equations 17 to 19).
    """
    del net, number
    own = gaussian(told)
    if state is None:
        return own
    log_var = -jnp.logaddexp(-own.log_var, -prior.log_var)
    share = jax.nn.sigmoid(prior.log_var - own.log_var)  # of the encoder's precision in the whole
    return DiagonalGaussian(prior.loc + share * (own.loc - prior.loc), log_var)


def residual(
    net: TopDown, prior: DiagonalGaussian, state: Array | None, told: Array, number: int
) -> DiagonalGaussian:
    """N(μ_p + Δμ, (σ_p Δσ)²) (Vahdat & Kautz 2020, section 3.2); at the top p is N(0, I)."""
    h = told
    if state is not None:
        h = jnp.concatenate([state.astype(told.dtype), told], axis=-1)
        h = net.common.activate(net.layer(h.ndim, f"merge_{number}")(h))
    size = prior.loc.shape[-1]
    change = gaussian(net.moments(h, size, f"posterior_{number}", means_alone))
    return DiagonalGaussian(prior.loc + change.loc, prior.log_var + change.log_var)


def hierarchical(net: TopDown, told_shapes: tuple[Shape, ...]) -> Bottleneck:
    """The bottleneck whose posterior and prior are walks down one network.

    Args:
      net: unbound.
      told_shapes: of what the encoder says of each level, the bottom's first; it emits all of them
        flattened side by side.
    """

    def walk(params: Tree, told: Any, pick: Callable[[int, Any], Array]) -> Any:
        return net.apply({"params": params}, told, pick)

    def init(key):
        told = tuple(map(jnp.zeros, told_shapes))
        return net.init(key, told, lambda number, law: law.mean)["params"], {}

    def posterior(params, state, features):
        (features,) = at_least_float32(features)
        return Hierarchy(params, tuple(split(features, told_shapes)), walk, net.shapes)

    def latent(params, state, q, key):
        q = Hierarchy(params, q.told, walk, net.shapes)  # a batch's holds them for each example
        return q.mode if key is None else q.sample(key)

    prior = lambda params, state: Hierarchy(params, None, walk, net.shapes)
    return Bottleneck(
        latent_shape=(sum(map(math.prod, net.shapes)),),
        feature_shape=(sum(map(math.prod, told_shapes)),),
        init=init,
        posterior=posterior,
        latent=latent,
        prior=prior,
        stats=no_stats,
        update=same_state,
        shown=lambda params, state, z: prior(params, state).at(z).state,
    )


def shrinking(levels: Any) -> tuple[Shape, ...]:
    """Levels as shapes, the bottom's first.

    Raises:
      ConfigError: there are fewer than two, they are neither all vectors nor all images, or one is
        no smaller than the one below it.
    """
    if not isinstance(levels, list | tuple) or len(levels) < 2:
        raise ConfigError(
            f"levels must be two or more sizes, the bottom's first, e.g. (32, 16), got {levels!r}: "
            "one latent is ae.bottlenecks.gaussian"
        )
    shapes = tuple(map(latent_shape, plain(levels)))
    if {len(shape) for shape in shapes} not in ({1}, {3}):
        raise ConfigError(
            "levels must be all numbers, of vectors, or all (height, width, channels), got "
            f"{levels!r}"
        )
    for number, (below, above) in enumerate(itertools.pairwise(shapes), start=2):
        if len(below) == 1 and above >= below:
            raise ConfigError(
                f"levels must shrink from the bottom up: level {number} has {above[0]} dimensions "
                f"above {below[0]}, take at most {below[0] - 1}"
            )
        half = tuple(-(-side // 2) for side in below[:2])
        if len(below) == 3 and (above[:2] != half or half == below[:2]):
            raise ConfigError(
                f"levels must shrink from the bottom up: level {number} has {above[:2]} positions "
                f"above {below[:2]}, "
                + ("which nothing can halve: leave it out" if half == below[:2] else f"take {half}")
            )
    return shapes
