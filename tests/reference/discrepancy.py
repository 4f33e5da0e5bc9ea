"""Maximum mean discrepancy, and its expectation between Gaussians."""

import numpy as np
from scipy import integrate, spatial


def kernel_value(kernel, squared_distance, scale):
    if kernel == "rbf":
        return np.exp(-squared_distance / scale)
    return 1.0 / (1.0 + squared_distance / scale)


def mmd(x, y, *, kernel, bandwidths, unbiased):
    """Value and the sum of absolute summands."""

    def similarities(a, b):
        squared_distances = spatial.distance.cdist(a, b, "sqeuclidean")
        scales = [2 * a.shape[1] * bandwidth for bandwidth in bandwidths]
        return sum(kernel_value(kernel, squared_distances, scale) for scale in scales)

    def within(rows):
        values = similarities(rows, rows)
        return values[~np.eye(len(rows), dtype=bool)].mean() if unbiased else values.mean()

    between = similarities(x, y).mean()
    return within(x) + within(y) - 2 * between, within(x) + within(y) + 2 * between


def expected_kernel(offset, variance, *, kernel, scale):
    """E k(u) for u ~ N(offset, variance · I): the exponential family's Gaussian integral.

    The inverse multiquadratic is a mixture of Gaussians, C / (C + r²) = ∫ C exp(−Ct) exp(−tr²) dt.
    """
    offset = np.asarray(offset, float)

    def gaussian(t):
        widened = 1 + 2 * variance * t
        return widened ** (-offset.size / 2) * np.exp(-t * np.sum(offset**2) / widened)

    if kernel == "rbf":
        return gaussian(1 / scale)
    value, _ = integrate.quad(lambda t: np.exp(-t) * gaussian(t / scale), 0, np.inf, epsabs=1e-12)
    return value


def expected_mmd(offset, variance_x, variance_y, *, kernel, bandwidths):
    """Population MMD² between N(offset, variance_x · I) and N(0, variance_y · I)."""
    zero = np.zeros_like(offset)
    total = 0.0
    for bandwidth in bandwidths:
        options = {"kernel": kernel, "scale": 2 * len(offset) * bandwidth}
        total += expected_kernel(zero, 2 * variance_x, **options)
        total += expected_kernel(zero, 2 * variance_y, **options)
        total -= 2 * expected_kernel(offset, variance_x + variance_y, **options)
    return total
