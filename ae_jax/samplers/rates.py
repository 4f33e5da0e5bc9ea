"""What a code costs under a sampler of integers, beside what it costs without one."""

import dataclasses
import math
from typing import Any

import numpy as np

from ae_jax.errors import PartError
from ae_jax.evaluation import code_use
from ae_jax.runs.integers import codes_of
from ae_jax.samplers.fit import numbered
from ae_jax.samplers.fitted import Fitted


@dataclasses.dataclass(frozen=True)
class CodeRates:
    """Bits for each integer of a quantised code.

    Attributes:
      sampler: -log₂ p(n) / d, d integers a code: what an arithmetic coder with it would need.
      unigram: the entropy of how often each integer is used, known beforehand, the mean over
        levels or groups.
      uniform: log₂ of how many there are.
    """

    sampler: float
    unigram: float
    uniform: float


def code_rates(run: Any, fitted: Fitted, data: Any = None) -> CodeRates:
    """Bits an integer: under a sampler, by how often each is used in the data, by their number.

    Args:
      run: the `ae.Run` that the sampler was fitted on.
      fitted: a sampler of integers.
      data: as of `ae.samplers.fit`, but None: the test split of the run's own data.

    Returns:
      CodeRates. The sampler's is lower than the unigram's by what it knows of how codes depend on
      each other; on codes that it was fitted on, by what it knows by heart as well.

    Raises:
      PartError: a sampler of vectors, or a run without codes that are integers.

    Example:
      >>> import ae_jax as ae
      >>> run = ae.fit(ae.recipes.fsq_vae((4, 2), levels=4), "digits", steps=2, progress=False)
      >>> fitted = ae.samplers.fit(run, None, "unigram")
      >>> ae.samplers.code_rates(run, fitted).uniform
      4.0
    """
    if fitted.size is None:
        raise PartError(
            f"sampler '{fitted.name}' is one of vectors, whose densities are no bits: fit "
            "'code_transformer' or 'unigram'"
        )
    if data is None:
        data = run.dataset().test
    elif hasattr(data, "train"):
        data = data.test
    numbers, labels = numbered(run, data, fitted.condition)
    extras = None if fitted.condition is None else {fitted.condition: labels}
    each = (
        -fitted.log_prob(numbers, extras=extras).mean() / math.log(2) / math.prod(numbers.shape[1:])
    )
    levels = math.prod(codes_of(run).shape[len(run.model.bottleneck.latent_shape) - 1 :])
    use = code_use(numbers, fitted.size, levels)
    return CodeRates(float(each), float(np.mean(np.log2(use.perplexity))), math.log2(fitted.size))
