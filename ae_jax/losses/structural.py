"""Structural similarity of two images [height, width, channels], and the losses made of it.

Both measures are computed from their deficits. With d = x − x̂ and local means μ and variances σ²
under a Gaussian window, the two factors of SSIM are

    luminance           (2 μ_x μ_x̂ + C₁) / (μ_x² + μ_x̂² + C₁)  =  1 − μ_d² / (μ_x² + μ_x̂² + C₁)
    contrast-structure  (2 σ_xx̂ + C₂) / (σ_x² + σ_x̂² + C₂)     =  1 − σ_d² / (σ_x² + σ_x̂² + C₂)

and the right-hand sides keep their precision where the images are nearly equal.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.checks import (
    require_mask,
    require_not_negative,
    require_positive,
    require_positive_ints,
    require_rank,
    require_same_shape,
)
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.losses._precision import at_least_float32

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim_loss(
    x: chex.Array,
    reconstruction: chex.Array,
    observed: chex.Array | None = None,
    *,
    data_range: float,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> jax.Array:
    """Structural dissimilarity, 1 − SSIM, in [0, 2]: a mean over windows and channels, not a sum.

    SSIM is the product of the module's two factors with C₁ = (k₁ R)² and C₂ = (k₂ R)², averaged
    over every window that lies within the image (valid padding) and over channels. Variances are
    normalised by the window's weight, not its weight less one. Wang, Bovik, Sheikh & Simoncelli,
    "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.

    With a mask, local moments are taken over the observed entries of a window, and windows are
    averaged by the observed share of their weight; an image never observed costs 0.

    Args:
      x: the target, `[height, width, channels]`.
      reconstruction: x̂, of the same shape.
      observed: bool, of the same shape; None means that all entries are observed.
      data_range: R > 0, the difference of the largest and smallest value a pixel can take.
      window_size: side of the Gaussian window.
      sigma: its standard deviation in pixels.
      k1: the luminance constant.
      k2: the contrast constant.

    Returns:
      The loss, a scalar; dimensionless, not nats.

    Raises:
      ValueError: if shapes differ, a side is below `window_size`, or a constant is not positive.

    >>> float(ssim_loss(jnp.zeros((11, 11, 1)), jnp.zeros((11, 11, 1)), data_range=1.0))
    0.0
    """
    images = _Images.of(x, reconstruction, observed)
    window = _Window.of(data_range, window_size, sigma, k1, k2)
    _require_side(images, window_size, scales=1)
    return _deficits(images, window).mean_product(axis=(0, 1, 2))


def ssim(
    x: chex.Array,
    reconstruction: chex.Array,
    observed: chex.Array | None = None,
    *,
    data_range: float,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> jax.Array:
    """Structural similarity, in [−1, 1]: 1 for identical images, and 1 − `ssim_loss` for any.

    Arguments, shapes, errors and source are those of `ssim_loss`.

    Returns:
      The similarity, a scalar; dimensionless.
    """
    options = {"window_size": window_size, "sigma": sigma, "k1": k1, "k2": k2}
    return 1 - ssim_loss(x, reconstruction, observed, data_range=data_range, **options)


def require_scales(weights: Sequence[float]) -> None:
    """Raises ConfigError unless the weights of MS-SSIM are one number or more, none negative."""
    if not isinstance(weights, Sequence) or not weights:
        raise ConfigError(f"weights must hold one number per scale, got {weights!r}")
    require_not_negative(**{f"weights[{j}]": weight for j, weight in enumerate(weights)})


def ms_ssim_loss(
    x: chex.Array,
    reconstruction: chex.Array,
    observed: chex.Array | None = None,
    *,
    data_range: float,
    weights: Sequence[float] = MS_SSIM_WEIGHTS,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> jax.Array:
    """Multi-scale structural dissimilarity, 1 − MS-SSIM, in [0, 1].

    MS-SSIM of one channel is Π_j s_j^{w_j}, where s_j is the mean contrast-structure over the
    windows of scale j, and at the last scale the mean SSIM; channels are averaged. A scale is the
    2×2 mean of the one before, its odd last row or column left out. Wang, Simoncelli & Bovik,
    "Multi-Scale Structural Similarity for Image Quality Assessment", 2003.

    A scale with s_j ≤ 0 (anticorrelated images) has no real power: it is clamped to 0, so that its
    channel costs the full 1 and has gradient zero. As s_j falls to 0 from above, the true gradient
    grows without bound like s_j^{w_j − 1}; for a loss at the start of training, few scales or plain
    `ssim_loss` are the safer choice.

    Args:
      x: the target, `[height, width, channels]`.
      reconstruction: x̂, of the same shape.
      observed: bool, of the same shape; None means that all entries are observed.
      data_range: R > 0, the difference of the largest and smallest value a pixel can take.
      weights: w_j, from fine to coarse, one per scale and used as given. The default is the five
        published ones, for sides of at least 176; pass fewer for smaller images.
      window_size: side of the Gaussian window.
      sigma: its standard deviation in pixels.
      k1: the luminance constant.
      k2: the contrast constant.

    Returns:
      The loss, a scalar; dimensionless, not nats.

    Raises:
      ValueError: if shapes differ, a side is too small for the number of scales (the message gives
        the smallest side), a weight is negative, or a constant is not positive.
    """
    require_scales(weights)
    images = _Images.of(x, reconstruction, observed)
    window = _Window.of(data_range, window_size, sigma, k1, k2)
    _require_side(images, window_size, scales=len(weights))
    scales = []
    for _ in weights[:-1]:
        scales.append(_deficits(images, window).mean_contrast(axis=(0, 1)))
        images = images.halved()
    scales.append(_deficits(images, window).mean_product(axis=(0, 1)))
    deficit = jnp.stack(scales, axis=-1)  # [channels, scales]
    exponents = jnp.asarray(weights, deficit.dtype)[None]
    positive = jnp.all(deficit < 1, axis=-1)
    # log1p of the clamped entries must not be formed at all, or its gradient would be NaN.
    safe = jnp.where(positive[:, None], deficit, jnp.zeros_like(deficit))
    loss = -jnp.expm1(jnp.sum(exponents * jnp.log1p(-safe), axis=-1))
    return jnp.mean(jnp.where(positive, loss, jnp.ones_like(loss)))


def ms_ssim(
    x: chex.Array,
    reconstruction: chex.Array,
    observed: chex.Array | None = None,
    *,
    data_range: float,
    weights: Sequence[float] = MS_SSIM_WEIGHTS,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> jax.Array:
    """Multi-scale structural similarity, in [0, 1]: 1 − `ms_ssim_loss`.

    Arguments, shapes, errors and source are those of `ms_ssim_loss`.

    Returns:
      The similarity, a scalar; dimensionless.
    """
    options = {"window_size": window_size, "sigma": sigma, "k1": k1, "k2": k2}
    loss = ms_ssim_loss(
        x, reconstruction, observed, data_range=data_range, weights=weights, **options
    )
    return 1 - loss


class _Window(NamedTuple):
    """The Gaussian window, a product of equal weights along both axes, and the constants."""

    weights: tuple[float, ...]
    c1: float
    c2: float

    @classmethod
    def of(
        cls, data_range: float, window_size: int, sigma: float, k1: float, k2: float
    ) -> "_Window":
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


class _Images(NamedTuple):
    """Two images, zero where unobserved, and the share of each entry that is observed."""

    x: jax.Array
    reconstruction: jax.Array
    share: jax.Array | None

    @classmethod
    def of(
        cls, x: chex.Array, reconstruction: chex.Array, observed: chex.Array | None
    ) -> "_Images":
        require_same_shape(x=x, reconstruction=reconstruction)
        require_rank(3, x=x)
        require_mask(observed, x)
        x, reconstruction = at_least_float32(x, reconstruction)
        if observed is None:
            return cls(x, reconstruction, None)
        zero = jnp.zeros_like(x)
        share = jnp.asarray(observed, x.dtype)
        return cls(jnp.where(observed, x, zero), jnp.where(observed, reconstruction, zero), share)

    def halved(self) -> "_Images":
        """The 2×2 means, over observed entries where there is a mask."""
        planes = jnp.stack([self.x, self.reconstruction])
        if self.share is None:
            x, reconstruction = _mean_2x2(planes)
            return _Images(x, reconstruction, None)
        share = _mean_2x2(self.share[None])
        x, reconstruction = _ratio(_mean_2x2(self.share[None] * planes), share)
        return _Images(x, reconstruction, share[0])


class _Deficits(NamedTuple):
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


def _deficits(images: _Images, window: _Window) -> _Deficits:
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
    return _Deficits(luminance, difference_variance / (variance + window.c2), window_share)


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


def _require_side(images: _Images, window_size: int, scales: int) -> None:
    smallest = window_size * 2 ** (scales - 1)
    if min(images.x.shape[:2]) < smallest:
        raise ShapeError(
            f"{scales} scale(s) with a window of {window_size} need sides of at least {smallest}, "
            f"got an image of shape {images.x.shape}"
        )
