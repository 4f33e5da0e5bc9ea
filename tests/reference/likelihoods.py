"""Log-likelihoods in NumPy and SciPy, entry by entry, as the papers write them.

Each takes the learned parameters, the decoder's output y and x, all float64, and returns for every
entry of x its log-probability and the sum of the absolute summands that it is made of.
"""

import numpy as np
from scipy import special, stats


def bounded(raw, bound):
    """A number kept within ±bound as the library documents it."""
    return -bound + np.logaddexp(0, 2 * bound - np.logaddexp(0, bound - raw))


def bernoulli(params, y, x):
    ones, zeros = x * special.log_expit(y), (1 - x) * special.log_expit(-y)
    return ones + zeros, np.abs(ones) + np.abs(zeros)


def continuous_bernoulli(params, y, x):
    log_constant = np.maximum(y, 0) + np.log(special.exprel(-np.abs(y)))
    log_constant = np.where(np.abs(y) < 1e-4, y / 2 + y**2 / 24, log_constant)
    return y * x - log_constant, np.abs(y * x) + np.abs(log_constant)


def _location_and_log_variance(params, y, variance, scale):
    if variance == "predicted":
        y, raw = np.split(y, 2, axis=-1)
        return y, bounded(raw + 2 * np.log(scale), 20)
    log_var = 2 * np.log(scale)
    if variance == "global":
        log_var = bounded(log_var + 10 * params["shift"], 20)
    return y, np.full(y.shape, log_var)


def gaussian(params, y, x, variance="fixed", scale=1.0):
    mean, log_var = _location_and_log_variance(params, y, variance, scale)
    square = ((x - mean) * np.exp(-0.5 * log_var)) ** 2 / 2
    magnitude = square + np.abs(log_var) / 2 + np.log(2 * np.pi) / 2
    return stats.norm.logpdf(x, mean, np.exp(0.5 * log_var)), magnitude


def laplace(params, y, x, variance="fixed", scale=1.0):
    location, log_square = _location_and_log_variance(params, y, variance, scale)
    b = np.exp(0.5 * log_square)
    magnitude = np.abs(x - location) / b + np.abs(np.log(b)) + np.log(2)
    return -np.abs(x - location) / b - np.log(2 * b), magnitude


def student_t(params, y, x, variance="predicted", scale=1.0, degrees="predicted", least=None):
    nu = degrees
    if degrees == "predicted":
        size = x.shape[-1]
        y, nu = y[..., :-size], 3 + np.logaddexp(0, y[..., -size:])
    elif degrees == "global":
        nu = 3 + np.logaddexp(0, params["degrees"])
    if least is None:
        location, log_square = _location_and_log_variance(params, y, variance, scale)
    else:
        location, raw = np.split(y, 2, axis=-1) if variance == "predicted" else (y, params["shift"])
        square = np.log(least**2 + (scale**2 - least**2) * np.exp(np.minimum(raw, 700)))
        square = np.where(raw > 700, raw + np.log(scale**2 - least**2), square)
        log_square = np.broadcast_to(bounded(square, 20), location.shape)
    sigma = np.exp(0.5 * log_square)
    nu = np.broadcast_to(nu, location.shape)
    tail = 0.5 * (nu + 1) * np.log1p(((x - location) / sigma) ** 2 / nu)
    constant = np.abs(stats.t.logpdf(0.0, nu)) + np.abs(log_square) / 2
    return stats.t.logpdf(x, nu, location, sigma), tail + constant


def categorical(params, y, x, num_classes):
    assert y.shape[-1] == num_classes
    picked = np.take_along_axis(y, x[..., None].astype(int), axis=-1)[..., 0]
    total = special.logsumexp(y, axis=-1)
    return picked - total, np.abs(picked) + np.abs(total)


def poisson(params, y, x, mean=1.0):
    log_rate = bounded(y + np.log(mean), 30)
    rate = np.exp(log_rate)
    magnitude = rate + np.abs(x * log_rate) + special.gammaln(x + 1)
    return x * log_rate - rate - special.gammaln(x + 1), magnitude


def negative_binomial(params, y, x, mean=1.0):
    log_mean, log_dispersion = np.split(y, 2, axis=-1)
    log_mean = bounded(log_mean + np.log(mean), 30)
    return negative_binomial_by_size(x, log_mean, -bounded(log_dispersion, 20))


def zero_inflated_negative_binomial(params, y, x, mean=1.0):
    log_mean, log_dispersion, logit = np.split(y, 3, axis=-1)
    log_mean = bounded(log_mean + np.log(mean), 30)
    log_one, log_other = special.log_expit(logit), special.log_expit(-logit)
    counted, magnitude = negative_binomial_by_size(x, log_mean, -bounded(log_dispersion, 20))
    others = -np.expm1(counted) * special.expit(-logit)  # of a 0: the probability of the rest
    zero = np.logaddexp(log_one, log_other + counted)
    zero = np.where(others < 0.5, np.log1p(-np.minimum(others, 0.5)), zero)
    total = np.where(x == 0, zero, log_other + counted)
    return total, np.where(x == 0, 0, magnitude - log_other) + np.abs(total)


def negative_binomial_by_size(x, log_mean, log_size):
    """Γ(x + r) / Γ(r) as the product r (r + 1) … (r + x - 1), with r the size."""
    r, log_odds = np.exp(log_size), log_mean - log_size
    i = np.arange(int(x.max(initial=0)))
    rising = np.sum(np.log1p(i / r[..., None]), axis=-1, where=i < x[..., None])
    summands = (
        rising - special.gammaln(x + 1),
        x * log_mean,
        -(x + r) * np.where(log_odds > 30, log_odds, np.log1p(np.exp(np.minimum(log_odds, 30)))),
    )
    return sum(summands), rising + special.gammaln(x + 1) + sum(np.abs(s) for s in summands[1:])


def discretized_logistic_mixture(params, y, x, num_mixtures=10, levels=256):
    """Differences of two distribution functions in logarithms, on the side with more digits.

    Where even those agree to many digits, the density at the bin's middle times its width.
    """
    y = y.reshape(*x.shape, 3, num_mixtures)
    logits, locations, scales = y[..., 0, :], y[..., 1, :], np.exp(bounded(y[..., 2, :], 7))
    half = 1 / (levels - 1)
    value = 2 * half * np.round(x / half)[..., None] - 1
    upper = np.where(value >= 1, np.inf, (value + half - locations) / scales)
    lower = np.where(value <= -1, -np.inf, (value - half - locations) / scales)
    mirrored = lower + upper > 0
    upper, lower = np.where(mirrored, -lower, upper), np.where(mirrored, -upper, lower)
    log_upper, log_lower = special.log_expit(upper), special.log_expit(lower)
    with np.errstate(divide="ignore"):
        masses = log_upper + np.log1p(-np.exp(log_lower - log_upper))
    density = stats.logistic.logpdf(value, locations, scales) + np.log(2 * half)
    masses = np.where(upper - lower < 1e-4, density, masses)
    terms = special.log_softmax(logits, axis=-1) + masses
    total = special.logsumexp(terms, axis=-1)
    # Every part of a distribution function's argument counts: v/s rounds though μ/s cancels it.
    arguments = (np.abs(value) + np.abs(locations) + half) / scales + np.abs(logits)
    share = np.exp(terms - total[..., None])
    return total, np.abs(total) + np.sum(share * arguments, axis=-1)


def mixed(params, y, x, columns):
    """Group by group; columns are (oracle, arguments, columns, decoder outputs a column)."""
    entries, magnitudes = [], []
    for i, (oracle, arguments, count, width) in enumerate(columns):
        mine, y = y[..., : count * width], y[..., count * width :]
        target, x = x[..., :count], x[..., count:]
        if oracle is categorical:
            mine = mine.reshape(*target.shape, width)
        entry, magnitude = oracle(params.get(f"group_{i}", {}), mine, target, **arguments)
        entries.append(entry)
        magnitudes.append(magnitude)
    assert y.shape[-1] == x.shape[-1] == 0
    return np.concatenate(entries, -1), np.concatenate(magnitudes, -1)
