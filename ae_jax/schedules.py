"""Schedules `step -> multiplier` with a config form, for the weights of terms: optax's own."""

import optax

from ae_jax.registry import SCHEDULES

__all__ = ["cosine", "exponential", "linear", "piecewise_constant"]

linear = SCHEDULES.register(optax.linear_schedule, "linear")
cosine = SCHEDULES.register(optax.cosine_decay_schedule, "cosine")
exponential = SCHEDULES.register(optax.exponential_decay, "exponential")
piecewise_constant = SCHEDULES.register(optax.piecewise_constant_schedule, "piecewise_constant")
