"""The classical denoisers that a run is held against, each at its best setting.

All take one image `[h, w, c]` whose values should lie in [0, 1], float64, and the noise's root mean
square. scikit-image and SciPy compute; what is decided here is what settings are tried.
"""

import importlib.util
import itertools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ae_jax.data.sources.files import require
from ae_jax.errors import UnknownNameError, nearest

INSTALL = "scikit-image PyWavelets"
Denoiser = Callable[[np.ndarray], np.ndarray]


def _total_variation(noise: float) -> Iterable[Denoiser]:
    del noise
    tv = _restoration("denoise_tv_chambolle")
    for weight in (0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0):
        yield lambda x, weight=weight: tv(x, weight=weight, channel_axis=-1)


def _wavelet(noise: float) -> Iterable[Denoiser]:
    shrink = _restoration("denoise_wavelet")
    require("pywt", "denoising by wavelets", INSTALL)
    for sigma, wavelet, levels in itertools.product(
        (0.5 * noise, noise, 1.5 * noise), ("db1", "sym4"), (None, 2)
    ):
        options = {"sigma": sigma, "wavelet": wavelet, "wavelet_levels": levels}
        yield lambda x, options=options: _quietly(shrink, x, method="BayesShrink", **options)


def _quietly(shrink: Callable[..., np.ndarray], x: np.ndarray, **options: Any) -> np.ndarray:
    """Without the warning that small images are all edge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return shrink(x, channel_axis=-1, rescale_sigma=True, **options)


def _non_local_means(noise: float) -> Iterable[Denoiser]:
    means = _restoration("denoise_nl_means")
    for share, patch in itertools.product((0.4, 0.5, 0.6, 0.8, 1.2), (3, 5, 7)):
        options = {"h": share * noise, "patch_size": patch, "patch_distance": 6}
        yield lambda x, options=options: means(x, sigma=noise, channel_axis=-1, **options)


def _median(noise: float) -> Iterable[Denoiser]:
    from scipy.ndimage import median_filter

    del noise
    for side in (3, 5):
        yield lambda x, side=side: median_filter(x, (side, side, 1))


def _restoration(name: str) -> Callable[..., np.ndarray]:
    restoration: Any = require("skimage.restoration", "denoising by classical methods", INSTALL)
    return getattr(restoration, name)


METHODS: Mapping[str, Callable[[float], Iterable[Denoiser]]] = MappingProxyType(
    {
        "total_variation": _total_variation,
        "wavelet": _wavelet,
        "non_local_means": _non_local_means,
        "median": _median,
    }
)
"""From the noise's root mean square to the settings of a method that are tried."""
NEEDS = {"total_variation": ("skimage",), "wavelet": ("skimage", "pywt")}
NEEDS |= {"non_local_means": ("skimage",), "median": ()}


def chosen_methods(methods: Sequence[str] | None) -> tuple[str, ...]:
    """The methods of these names; None: those whose packages are installed.

    Raises:
      UnknownNameError: a method that there is not.
    """
    if methods is None:
        there = lambda name: all(importlib.util.find_spec(m) is not None for m in NEEDS[name])
        return tuple(filter(there, METHODS))
    for name in methods:
        if name not in METHODS:
            raise UnknownNameError(f"no method denoises by '{name}'{nearest(name, METHODS)}")
    return tuple(methods)


def best_setting(name: str, clean: np.ndarray, noisy: np.ndarray) -> Denoiser:
    """The setting of a method that has the least mean squared error on these images.

    Args:
      name: a key of `METHODS`.
      clean: `[n, h, w, c]`, in [0, 1].
      noisy: of the same shape.

    Raises:
      MissingFileError: a package that the method needs is not installed; says how to install it.
    """
    noise = float(np.sqrt(np.mean((noisy - clean) ** 2)))
    error = lambda way: np.mean((applied(way, noisy) - clean) ** 2)
    return min(METHODS[name](max(noise, 1e-6)), key=error)


def applied(way: Denoiser, noisy: np.ndarray) -> np.ndarray:
    """Each image denoised and clipped to [0, 1]; some methods drop an axis of one channel."""
    return np.clip(np.stack([way(x) for x in noisy]).reshape(noisy.shape), 0, 1)
