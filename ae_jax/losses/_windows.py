"""Two images under a Gaussian window, and what their similarity lacks to 1: see `structural`."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.checks import (
    require_mask,
    require_positive,
    require_positive_ints,
    require_rank,
    require_same_shape,
)
from ae_jax.losses._precision import at_least_float32


class Window(NamedTuple):
    """The Gaussian window, a product of equal weights along both axes, and the constants."""

    weights: tuple[float, ...]
    c1: float
    c2: float

    @classmethod
    def of(
        cls, data_range: float, window_size: int, sigma: float, k1: float, k2: float
    ) -> "Window":
        require_positive_ints(window_size=window_size)
        require_positive(data_range=data_range, sigma=sigma, k1=k1, k2=k2)
        offsets = np.arange(window_size) - (window_size - 1) / 2
        weights = np.exp(-0.5 * (offsets / sigma) ** 2)
        weights = tuple(float(weight) for weight in weights / weights.sum())
        return cls(weights, (k1 * data_range) ** 2, (k2 * data_range) ** 2)

    def sums(self, planes: jax.Array) -> jax.Array:
        """Weighted sums over all windows within the image, of planes [p, h, w, c]."""
        # As products with banded matrices: on CPU some 20 times faster than depthwise convolutions
        # or sums of shifted slices, and on accelerators what they are made for. The default matmul
        # precision there would leave nothing of a small variance.
        height, width = planes.shape[1:3]
        rows, columns = (jnp.asarray(self.band(side), planes.dtype) for side in (height, width))
        return jnp.einsum("ih,phwc,jw->pijc", rows, planes, columns, precision="highest")

    def band(self, side: int) -> np.ndarray:
        """The matrix whose rows hold the window at each of its places along a side."""
        count = len(self.weights)
        matrix = np.zeros((side - count + 1, side))
        for place, row in enumerate(matrix):
            row[place : place + count] = self.weights
        return matrix


class Images(NamedTuple):
    """Two images, zero where unobserved, and the share of each entry that is observed."""

    x: jax.Array
    reconstruction: jax.Array
    share: jax.Array | None

    @classmethod
    def of(cls, x: chex.Array, reconstruction: chex.Array, observed: chex.Array | None) -> "Images":
        require_same_shape(x=x, reconstruction=reconstruction)
        require_rank(3, x=x)
        require_mask(observed, x)
        x, reconstruction = at_least_float32(x, reconstruction)
        if observed is None:
            return cls(x, reconstruction, None)
        zero = jnp.zeros_like(x)
        share = jnp.asarray(observed, x.dtype)
        return cls(jnp.where(observed, x, zero), jnp.where(observed, reconstruction, zero), share)

    def halved(self) -> "Images":
        """The 2×2 means, over observed entries where there is a mask."""
        planes = jnp.stack([self.x, self.reconstruction])
        if self.share is None:
            x, reconstruction = _mean_2x2(planes)
            return Images(x, reconstruction, None)
        share = _mean_2x2(self.share[None])
        x, reconstruction = _ratio(_mean_2x2(self.share[None] * planes), share)
        return Images(x, reconstruction, share[0])


class Deficits(NamedTuple):
    """What luminance and contrast-structure lack to 1, per window, and the windows' weights."""

    luminance: jax.Array
    contrast: jax.Array
    share: jax.Array | None

    def mean_contrast(self, axis: tuple[int, ...]) -> jax.Array:
        return _mean(self.contrast, self.share, axis)

    def mean_product(self, axis: tuple[int, ...]) -> jax.Array:
        """The mean of 1 − SSIM."""
        product = self.luminance + self.contrast - self.luminance * self.contrast
        return _mean(product, self.share, axis)


def deficits(images: Images, window: Window) -> Deficits:
    """What luminance and contrast-structure lack to 1 in every window within the images."""
    x, reconstruction, share = images
    # Variances are computed about each channel's mean, which leaves them as they are but keeps the
    # difference of E[x²] and E[x]² from cancelling on bright, flat images. No gradient is lost: the
    # derivative with respect to the centre is zero.
    centres = [
        jax.lax.stop_gradient(_mean(image, share, (0, 1), keepdims=True))
        for image in (x, reconstruction)
    ]
    t, r = x - centres[0], reconstruction - centres[1]
    planes = jnp.stack([t, r, jnp.square(r) + jnp.square(t), jnp.square(t - r)])
    window_share = None
    if share is None:
        moments = window.sums(planes)
    else:
        sums = window.sums(jnp.concatenate([share[None] * planes, share[None]]))
        window_share = sums[-1]
        moments = _ratio(sums[:-1], sums[-1:])
    mean_t, mean_r, power, difference_power = moments
    # Rounding may leave a variance slightly below zero.
    variance = jnp.maximum(power - jnp.square(mean_r) - jnp.square(mean_t), 0)
    difference_variance = jnp.maximum(difference_power - jnp.square(mean_t - mean_r), 0)
    mean_t, mean_r = mean_t + centres[0], mean_r + centres[1]
    luminance = jnp.square(mean_t - mean_r) / (jnp.square(mean_r) + jnp.square(mean_t) + window.c1)
    return Deficits(luminance, difference_variance / (variance + window.c2), window_share)


def _mean(
    values: jax.Array, share: jax.Array | None, axis: tuple[int, ...], keepdims: bool = False
) -> jax.Array:
    if share is None:
        return jnp.mean(values, axis, keepdims=keepdims)
    total = jnp.sum(share, axis, keepdims=keepdims)
    return _ratio(jnp.sum(share * values, axis, keepdims=keepdims), total)


def _ratio(numerator: jax.Array, share: jax.Array) -> jax.Array:
    """The quotient, and zero where nothing was observed."""
    return numerator / jnp.where(share > 0, share, jnp.ones_like(share))


def _mean_2x2(planes: jax.Array) -> jax.Array:
    count, height, width, channels = planes.shape
    even = planes[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(count, height // 2, 2, width // 2, 2, channels).mean((2, 4))
