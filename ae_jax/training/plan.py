"""What a run is made of, once everything is resolved and checked."""

from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax.config.sections import Config
from ae_jax.data.dataset import Dataset
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.types import Player


class Plan(NamedTuple):
    """Everything a run is made of, resolved.

    Attributes:
      config: complete (`ae_jax.config.complete`).
      model: the Autoencoder.
      objective: evaluated on the test split.
      players: trained.
      preprocessing: from the data's units.
      dataset: checked.
      learning_rate: a number, or a function of the updates made; None: the optimizer's secret.
    """

    config: Config
    model: Autoencoder
    objective: Objective
    players: tuple[Player, ...]
    preprocessing: Preprocessing
    dataset: Dataset
    learning_rate: Any = None

    def example_extras(self) -> dict[str, np.ndarray]:
        """Zeros in place of one example's extras, for their shapes."""
        zero = lambda leaf: np.zeros(leaf.shape, leaf.dtype)
        return jax.tree.map(zero, dict(self.dataset.train.spec.extras))
