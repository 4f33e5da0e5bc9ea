"""Divergences in closed form, by the pair of distributions."""

import functools

from ae_jax.types import Array, Distribution


@functools.singledispatch
def kl_divergence(posterior: Distribution, prior: Distribution) -> Array | None:
    """KL(posterior ‖ prior) in closed form, scalar nats; None where no closed form is known.

    Register another pair's by its posterior: `kl_divergence.register`.

    Args:
      posterior: a Distribution over one event.
      prior: another over the same.
    """
    del posterior, prior
    return None
