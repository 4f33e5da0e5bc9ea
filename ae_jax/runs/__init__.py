"""From data and a recipe to a trained Run, and back from disk: plan, start, load, use."""

from ae_jax.runs.fit import fit, fit_config
from ae_jax.runs.load import load
from ae_jax.runs.run import Run

__all__ = ["Run", "fit", "fit_config", "load"]
