"""Structural similarity of two images [height, width, channels], and the losses made of it.

Both measures are computed from their deficits. With d = x − x̂ and local means μ and variances σ²
under a Gaussian window, the two factors of SSIM are

    luminance           (2 μ_x μ_x̂ + C₁) / (μ_x² + μ_x̂² + C₁)  =  1 − μ_d² / (μ_x² + μ_x̂² + C₁)
    contrast-structure  (2 σ_xx̂ + C₂) / (σ_x² + σ_x̂² + C₂)     =  1 − σ_d² / (σ_x² + σ_x̂² + C₂)

and the right-hand sides keep their precision where the images are nearly equal.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import (
    require_not_negative,
)
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.losses._windows import Images, Window, deficits

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
    images = Images.of(x, reconstruction, observed)
    window = Window.of(data_range, window_size, sigma, k1, k2)
    _require_side(images, window_size, scales=1)
    return deficits(images, window).mean_product(axis=(0, 1, 2))


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
    images = Images.of(x, reconstruction, observed)
    window = Window.of(data_range, window_size, sigma, k1, k2)
    _require_side(images, window_size, scales=len(weights))
    scales = []
    for _ in weights[:-1]:
        scales.append(deficits(images, window).mean_contrast(axis=(0, 1)))
        images = images.halved()
    scales.append(deficits(images, window).mean_product(axis=(0, 1)))
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


def _require_side(images: Images, window_size: int, scales: int) -> None:
    smallest = window_size * 2 ** (scales - 1)
    if min(images.x.shape[:2]) < smallest:
        raise ShapeError(
            f"{scales} scale(s) with a window of {window_size} need sides of at least {smallest}, "
            f"got an image of shape {images.x.shape}"
        )
