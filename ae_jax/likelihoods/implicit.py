"""What a generator emits is the example: there is no density, and nothing to draw."""

from typing import Any

from ae_jax._registry import LIKELIHOODS
from ae_jax.errors import PartError
from ae_jax.likelihoods._checks import anything, require_range
from ae_jax.networks.activations import activation_function
from ae_jax.types import Likelihood

RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
"""Within which an activation can reach the data."""


@LIKELIHOODS.register
def implicit(activation: str = "identity") -> Likelihood:
    """A generator's examples x = a(y), which only a critic can judge (Goodfellow et al. 2014).

    There is no log p(x | z), so that terms and bounds made of it are refused, and so are
    observations drawn from it.

    Args:
      activation: the last one of the generator: "identity", "sigmoid" for data in [0, 1], "tanh"
        for data in [-1, 1], or another of `ae.networks.mlp`.

    Returns:
      A Likelihood; the decoder emits the event's shape.

    Raises:
      ConfigError: an unknown activation.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> float(ae.likelihoods.implicit("sigmoid").mean({}, jnp.zeros(())))
      0.5
    """
    emitted = activation_function(activation)

    def validate(x):
        low, high = RANGES[activation]
        require_range(f"implicit({activation})", x, low, high, "scale the data or take 'identity'")

    def sample(params, y, key):
        raise PartError(
            "a game without a likelihood has no observations to draw: its examples are what the "
            "generator emits, sample(observations=False)"
        )

    no_density: Any = lambda params, y, x, observed: None
    return Likelihood(
        parameter_shape=lambda event_shape: event_shape,
        init=lambda key: {},
        log_prob=no_density,
        mean=lambda params, y: emitted(y),
        mode=lambda params, y: emitted(y),
        sample=sample,
        validate=validate if activation in RANGES else anything,
    )
