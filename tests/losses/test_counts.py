"""Likelihoods of counts against SciPy in double precision, over many decades."""

import numpy as np

from ae_jax import losses
from tests.losses.properties import Case, MaskedLossProperties
from tests.reference import counts as reference

COUNTS = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 40.0], [7.0, 700.0]])


def zero_inflated(log_mean, log_dispersion, dropout_logits, observed=None):
    return losses.zero_inflated_negative_binomial(
        log_mean, log_dispersion, dropout_logits, COUNTS.astype(np.float32), observed
    )


def zero_inflated_reference(*parameters, observed=True):
    entries, magnitudes = reference.zero_inflated_negative_binomial(COUNTS, *parameters)
    return np.sum(entries, where=observed), np.sum(magnitudes, where=observed)


def parameters(rng):
    return tuple(rng.normal(size=(3, *COUNTS.shape)) * np.array([2, 2, 3])[:, None, None])


def extreme_parameters():
    for log_mean in (-40.0, 0.0, 40.0):
        for log_dispersion in (-18.0, 0.0, 40.0):
            for logit in (-1e4, -80.0, -17.0, 0.0, 17.0, 80.0, 1e4):
                yield tuple(np.full(COUNTS.shape, v) for v in (log_mean, log_dispersion, logit))


CASES = [
    Case(
        "zero_inflated_negative_binomial",
        zero_inflated,
        zero_inflated_reference,
        parameters,
        extreme_parameters,
    )
]


class TestProperties(MaskedLossProperties):
    cases = CASES
