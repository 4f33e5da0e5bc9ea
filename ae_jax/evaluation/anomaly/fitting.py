"""Which anomaly scores fit a run."""

from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import generation
from ae_jax.errors import PartError
from ae_jax.evaluation.anomaly.scores import SCORES, Score
from ae_jax.evaluation.likelihood import has_bound
from ae_jax.model import Autoencoder
from ae_jax.types import Spec, Tree


def require_fit(model: Autoencoder, variables: Tree, spec: Spec, score: Score) -> None:
    """Raises PartError, naming the nearest score that fits, if a model has not what a score needs.

    Args:
      model: the Autoencoder.
      variables: its Variables, or their shapes.
      spec: of one example.
      score: a Score.
    """
    name = score.node.name if score.node is not None else "this score"
    if score.needs_density and not has_bound(model, variables, spec):
        raise PartError(
            f"'{name}' needs densities of codes and examples (ae.recipes.vae), and this model has "
            "none; the nearest score that fits it is 'reconstruction'"
        )
    if score.needs_corruption and not _corrupts(model, spec):
        raise PartError(
            f"'{name}' repeats the corruption of training (ae.recipes.denoising), and this model "
            "was trained without; the nearest score that fits it is 'reconstruction', or give a "
            "corruption"
        )


def fitting(run: Any) -> list[str]:
    """The names of the scores of `SCORES` that fit a run, the default first."""
    rows = {name: factory() for name, factory in SCORES.factories.items()}
    lacks = lambda row: (
        (row.needs_density and not has_bound(run.model, run.variables, run.spec))
        or (row.needs_corruption and not _corrupts(run.model, run.spec))
    )
    return [name for name, row in rows.items() if not lacks(row)]


def _corrupts(model: Autoencoder, spec: Spec) -> bool:
    """Whether the model's corruption is random: whether what comes out hangs on its key."""
    x = jnp.zeros(spec.event_shape)
    corrupted = lambda key: model.corruption(key, x, None)[0]
    return generation.reads(corrupted, jax.random.key(0))
