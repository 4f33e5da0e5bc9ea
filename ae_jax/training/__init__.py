"""Training: state, the pure step, its parallel forms, the loop around it, checkpoints."""

from ae_jax.training.averages import averaging
from ae_jax.training.diagnostics import term_gradient_norms
from ae_jax.training.state import TrainState, init_state
from ae_jax.training.step import make_step, single_player

__all__ = [
    "TrainState",
    "averaging",
    "init_state",
    "make_step",
    "single_player",
    "term_gradient_norms",
]
