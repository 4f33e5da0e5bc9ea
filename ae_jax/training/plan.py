"""What a run is made of, once everything is resolved and checked."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax.config.sections import Config
from ae_jax.data.dataset import Dataset
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.training.parallel.strategy import Strategy
from ae_jax.training.state import TrainState, init_state
from ae_jax.types import Player, PRNGKey, Spec


class Plan(NamedTuple):
    """Everything a run is made of: decided once, before anything is trained.

    Attributes:
      config: complete (`ae_jax.config.complete`), with nothing unset.
      model: the Autoencoder.
      objective: evaluated on the held-out splits.
      players: trained.
      preprocessing: from the data's units.
      dataset: checked; read into memory where it is to lie on the devices.
      spec: of one example, preprocessed.
      engine: how batches reach the devices, a key of `ae_jax.training.feeds.ENGINES`.
      strategy: how the devices share the work; None where they are described elsewhere, as those of
        a pod that is not there.
      learning_rate: a number, or a function of the updates made; None: the optimizer's secret.
      recipe: what the parts were built of, with nothing unset.
    """

    config: Config
    model: Autoencoder
    objective: Objective
    players: tuple[Player, ...]
    preprocessing: Preprocessing
    dataset: Dataset
    spec: Spec
    engine: str
    strategy: Strategy | None = None
    learning_rate: Any = None
    recipe: Any = None

    @property
    def init(self) -> Callable[[PRNGKey], TrainState]:
        """The state at step 0 from the root key of a run; pure."""
        averaged = self.config.training.average_decay is not None
        example, extras = self.example(), self.example_extras()
        return lambda key: init_state(self.model, self.players, example, key, extras, averaged)

    def example(self) -> np.ndarray:
        """Zeros in place of one example, `[*event]`."""
        return np.zeros(self.spec.event_shape, np.float32)

    def example_extras(self) -> dict[str, np.ndarray]:
        """Zeros in place of one example's extras, for their shapes."""
        zero = lambda leaf: np.zeros(leaf.shape, leaf.dtype)
        return jax.tree.map(zero, dict(self.dataset.train.spec.extras))
