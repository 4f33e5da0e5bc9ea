"""SSIM and MS-SSIM in NumPy, by the published formulas, one explicit window after the other.

Each returns the value and the sum of its absolute summands. The local moments are two-pass, so that
this oracle does not cancel where a one-pass one would.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

PUBLISHED_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _maps(x, y, observed, data_range, window_size, sigma, k1, k2):
    """Luminance and contrast-structure of every window, and its weight, each [h, w, c]."""
    offsets = np.arange(window_size) - window_size // 2
    row = np.exp(-(offsets**2) / (2 * sigma**2))
    window = np.outer(row, row) / row.sum() ** 2

    def windows(image):
        return sliding_window_view(image, (window_size, window_size), axis=(0, 1))

    weights = window * windows(observed)
    total = weights.sum((-2, -1))
    weights = weights / np.where(total > 0, total, 1)[..., None, None]

    def mean(values):
        return (weights * values).sum((-2, -1))

    a, b = windows(x), windows(y)
    mean_a, mean_b = mean(a), mean(b)
    from_a, from_b = a - mean_a[..., None, None], b - mean_b[..., None, None]
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    contrast = (2 * mean(from_a * from_b) + c2) / (mean(from_a**2) + mean(from_b**2) + c2)
    return luminance, contrast, total


def _prepared(x, y, observed):
    if observed is None:
        return x, y, np.ones(x.shape)
    return np.where(observed, x, 0.0), np.where(observed, y, 0.0), observed.astype(float)


def _average(values, weights, axis=None):
    total = weights.sum(axis)
    return np.where(total > 0, (weights * values).sum(axis) / np.where(total > 0, total, 1), 1.0)


def ssim_loss(x, y, observed=None, *, data_range, window_size=11, sigma=1.5, k1=0.01, k2=0.03):
    luminance, contrast, total = _maps(
        *_prepared(x, y, observed), data_range, window_size, sigma, k1, k2
    )
    value = float(_average(luminance * contrast, total))
    return 1 - value, 1 + abs(value)


def ms_ssim_loss(
    x,
    y,
    observed=None,
    *,
    data_range,
    weights=PUBLISHED_WEIGHTS,
    window_size=11,
    sigma=1.5,
    k1=0.01,
    k2=0.03,
):
    x, y, observed = _prepared(x, y, observed)
    product = np.ones(x.shape[-1])
    for scale, weight in enumerate(weights):
        luminance, contrast, total = _maps(x, y, observed, data_range, window_size, sigma, k1, k2)
        last = scale == len(weights) - 1
        similarity = _average(luminance * contrast if last else contrast, total, (0, 1))
        product = product * np.maximum(similarity, 0) ** weight
        x, y, observed = _halved(x, y, observed)
    value = float(product.mean())
    return 1 - value, 1 + abs(value)


def _halved(x, y, observed):
    height, width = (side // 2 * 2 for side in x.shape[:2])

    def quarters(image):
        return [image[i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]

    share = sum(quarters(observed))
    divisor = np.where(share > 0, share, 1)
    return (
        sum(quarters(observed * x)) / divisor,
        sum(quarters(observed * y)) / divisor,
        share / 4,
    )
