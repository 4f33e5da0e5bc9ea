"""Log-probabilities of counts in SciPy, entry by entry, in float64."""

import numpy as np
from scipy import special


def zero_inflated_negative_binomial(x, log_mean, log_dispersion, logits):
    """Lopez et al. (2018), with the log-probability of every entry and its absolute summands."""
    log_one, log_other = special.log_expit(logits), special.log_expit(-logits)
    counted, magnitude = negative_binomial(x, log_mean, log_dispersion)
    total = np.where(x == 0, np.logaddexp(log_one, log_other + counted), log_other + counted)
    return total, np.abs(total) + (x > 0) * (magnitude + np.abs(log_other))


def negative_binomial(x, log_mean, log_dispersion):
    """With the gamma functions as a beta function, whose precision SciPy keeps."""
    r, log_odds = np.exp(-log_dispersion), log_mean + log_dispersion
    counts = np.maximum(x, 1)
    summands = (
        np.where(x > 0, -special.betaln(counts, r) - np.log(counts), 0),
        -x * np.logaddexp(0, -log_odds),
        -r * np.logaddexp(0, log_odds),
    )
    return sum(summands), sum(np.abs(summand) for summand in summands)


def poisson(x, log_rate):
    return x * log_rate - np.exp(log_rate) - special.gammaln(x + 1)
