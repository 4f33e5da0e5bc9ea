"""A run as a denoiser, beside the methods one would use otherwise."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from ae_jax import losses
from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data import matching
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Records, Source, readable, sampled
from ae_jax.errors import ConfigError, DataError, ShapeError
from ae_jax.evaluation.classical import applied, best_setting, chosen_methods
from ae_jax.evaluation.corrupted import psnr, reconstructed
from ae_jax.figures import is_image

WINDOW = 11  # of SSIM, as published; less where an image is smaller
CALIBRATION = 16
"""Training images that the settings of classical methods are chosen on."""
NOISES: Mapping[str, Sequence[float]] = MappingProxyType(
    {"gaussian": (0.1, 0.3, 0.5), "salt_and_pepper": (0.1, 0.3)}
)
"""Kinds and levels: corruptions whose first argument is a level, in the model's units."""
LEVEL = {"gaussian": "std", "multiplicative": "std", "salt_and_pepper": "rate", "masking": "rate"}
Sets = dict[str, np.ndarray]


def ssim(x: Any, again: Any, low: float, high: float) -> np.ndarray:
    """Structural similarity of each pair of images, scikit-image's with Gaussian weights.

    The mean over windows and channels of `ae_jax.losses.ssim`: a window of 11 pixels a side
    (of smaller images the largest odd number that fits), deviation 1.5, K₁ 0.01, K₂ 0.03.

    Args:
      x: `[n, h, w]` or `[n, h, w, c]`.
      again: x̂, of the same shape.
      low: the least value that x can take.
      high: the greatest.

    Returns:
      float32 `[n]`, in [-1, 1]; 1 where both are the same.

    Raises:
      ShapeError: no images, or two shapes.

    Example:
      >>> import numpy as np
      >>> x = np.random.default_rng(0).random((2, 16, 16))
      >>> ssim(x, x, 0.0, 1.0).tolist()
      [1.0, 1.0]
    """
    x, again = (_pictures(np.asarray(each, np.float32)) for each in (x, again))
    if x.shape != again.shape:
        raise ShapeError(f"both must have one shape, got {x.shape} and {again.shape}")
    side = min(WINDOW, *x.shape[1:3])
    options = {"data_range": high - low, "window_size": side - 1 + side % 2}
    one = lambda x, again: losses.ssim(x, again, **options)
    return np.asarray(jax.jit(jax.vmap(one))(x - np.float32(low), again - np.float32(low)))


def denoise(
    run: Any,
    dataset: Dataset,
    *,
    noises: Mapping[str, Sequence[float]] = NOISES,
    methods: Sequence[str] | None = None,
    num: int = 100,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float]]]:
    """PSNR and SSIM of what a run and classical methods make of noisy test images.

    All see the same noisy images, values outside the display range as the noise left them, and what
    they make of them is clipped to it. Each classical method has the setting (total variation:
    weight; wavelet, by BayesShrink: deviation, wavelet and levels; non-local means: filter strength
    and patch; median: side) of least squared error on 16 noisy training images, for each kind and
    level anew; the run is one for all.

    Args:
      run: a Run of images.
      dataset: its data.
      noises: levels by kind: standard deviations of "gaussian" and "multiplicative", rates of
        "salt_and_pepper" and "masking", in the model's units, after preprocessing.
      methods: of "total_variation", "wavelet", "non_local_means" and "median"; None: all that are
        installed (scikit-image, PyWavelets).
      num: a fixed choice of so many test images, at most.
      seed: of the noise.

    Returns:
      By noise, e.g. "gaussian 0.3", and then by "noisy", "run" and method: the means over images of
      "psnr" in dB over the run's display range (images without any error, whose PSNR is infinite,
      are left out), and "ssim".

    Raises:
      ShapeError: the examples are no images.
      ConfigError: a kind of noise without a level.
      UnknownNameError: a method that there is not.
      MissingFileError: one that is asked for is not installed; says how to install it.
    """
    require_positive_ints(num=num)
    require_seed(seed=seed)
    methods, nodes = chosen_methods(methods), nodes_of(noises)
    train, test = _images(run, dataset.train, CALIBRATION), _images(run, dataset.test, num)
    table = {}
    for name, node in nodes.items():
        sets = _denoised(run, node, methods, train, test, seed)
        clean = sets.pop("clean")
        table[name] = {way: _scores(clean, x) for way, x in sets.items()}
    return table


def before_and_after(
    run: Any,
    dataset: Dataset,
    kind: str = "gaussian",
    level: float = 0.3,
    *,
    methods: Sequence[str] | None = None,
    num: int = 8,
    seed: int = 0,
) -> Sets:
    """The same noisy images before and after each way to denoise them, for a figure.

    Args:
      run: a Run of images.
      dataset: its data.
      kind: of noise, see `denoise`.
      level: of it.
      methods: see `denoise`.
      num: how many images.
      seed: of the noise.

    Returns:
      By "clean", "noisy", "run" and method, each `[num, h, w, c]` in [0, 1] where the display range
      is; for `ae_jax.figures.examples_figure`.
    """
    (node,) = nodes_of({kind: [level]}).values()
    train, test = _images(run, dataset.train, CALIBRATION), _images(run, dataset.test, num)
    return _denoised(run, node, chosen_methods(methods), train, test, seed)


def nodes_of(noises: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Config nodes of noises by name, such as "gaussian 0.3".

    Raises:
      ConfigError: a kind of noise without a level.
    """
    for kind in noises:
        if kind not in LEVEL:
            known = ", ".join(LEVEL)
            raise ConfigError(f"noises must be levels of {known}, got '{kind}'")
    return {
        f"{kind} {level:g}": {"name": kind, LEVEL[kind]: level}
        for kind, levels in noises.items()
        for level in levels
    }


def _images(run: Any, source: Source, most: int) -> Records:
    if not is_image(run.spec.event_shape):
        raise ShapeError(f"images can be denoised so, not examples {run.spec.event_shape}")
    if not len(source):
        raise DataError("denoising is judged on test images, and there are none")
    return readable(sampled(matching.matched(source, run.spec.columns), most).records)


def _denoised(
    run: Any, node: Any, methods: Sequence[str], train: Records, test: Records, seed: int
) -> Sets:
    low, high = run.display_range
    into = lambda x: _pictures((np.asarray(x, np.float64) - low) / (high - low))
    tried, judged = (reconstructed(run, each, node, seed) for each in (train, test))
    clean, noisy = into(tried.clean), into(tried.seen)
    again = np.clip(into(judged.again), 0, 1)
    sets = {"clean": into(judged.clean), "noisy": into(judged.seen), "run": again}
    for name in methods:
        sets[name] = applied(best_setting(name, clean, noisy), sets["noisy"])
    return sets


def _scores(clean: np.ndarray, x: np.ndarray) -> dict[str, float]:
    decibels = psnr(clean, x, 0.0, 1.0)
    finite = decibels[np.isfinite(decibels)]
    return {
        "psnr": float(finite.mean() if len(finite) else np.inf),
        "ssim": float(ssim(clean, x, 0.0, 1.0).mean()),
    }


def _pictures(x: np.ndarray) -> np.ndarray:
    """Images `[n, h, w, c]`.

    Raises:
      ShapeError: another rank.
    """
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim != 4:
        raise ShapeError(f"images are [n, h, w] or [n, h, w, c], got {x.shape}")
    return x
