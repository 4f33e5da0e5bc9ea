"""Losses of games in double precision; every function returns value and scale.

The scale is the sum of the absolute values of the summands, against which errors are judged.
"""

import numpy as np
from scipy.special import log_expit


def _total(*summands):
    flat = np.concatenate([np.ravel(summand) for summand in summands])
    return flat.sum(), np.abs(flat).sum()


def non_saturating_discriminator(real, fake):
    return _total(-log_expit(real), -log_expit(-fake))


def non_saturating_generator(fake):
    return _total(-log_expit(fake))


def hinge_discriminator(real, fake):
    value, _ = _total(np.clip(1 - real, 0, None), np.clip(1 + fake, 0, None))
    return value, value


def hinge_generator(fake):
    return _total(-fake)


def least_squares_discriminator(real, fake):
    value, _ = _total((real - 1) ** 2 / 2, fake**2 / 2)
    return value, value


def least_squares_generator(fake):
    return _total((fake - 1) ** 2 / 2)


def wasserstein_critic(real, fake):
    return _total(fake, -real)


def density_ratio_total_correlation(logits):
    """log D − log(1 − D), D the softmax probability of the first class."""
    shifted = logits - logits.max()
    log_probability = shifted - np.log(np.exp(shifted).sum())
    return log_probability[0] - log_probability[1], np.abs(logits).sum()


def density_ratio_discriminator(joint, permuted):
    wrong = []
    for logits, label in ((joint, 0), (permuted, 1)):
        shifted = logits - logits[label]
        top = shifted.max()
        wrong.append((top + np.log(np.exp(shifted - top).sum())) / 2)
    return _total(*wrong)
