"""What draws the encoder's features and the codes of a codebook together."""

import jax

from ae_jax import losses
from ae_jax.distributions import Quantized
from ae_jax.errors import PartError
from ae_jax.terms._registered import part, registered
from ae_jax.types import Array, Context, Outputs


@registered(units="squared code units")
def commitment(outputs: Outputs, context: Context) -> Array:
    """‖z_e - sg[e]‖² over all positions, to the features alone (van den Oord et al. 2017).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, squared code units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 0.25 * ae.terms.commitment()
      Objective(1.0 · reconstruction + 0.25 · commitment)
    """
    del context
    posterior = _quantized(outputs, "commitment")
    return jax.vmap(losses.commitment)(posterior.features, posterior.codes)


@registered(units="squared code units")
def codebook(outputs: Outputs, context: Context) -> Array:
    """‖sg[z_e] - e‖² over all positions, to the codebook alone (van den Oord et al. 2017).

    For a codebook that is a parameter: `ae.bottlenecks.vector_quantized(…, decay=None)`.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, squared code units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.commitment() + ae.terms.codebook()
      Objective(1.0 · commitment + 1.0 · codebook)
    """
    posterior = _quantized(outputs, "codebook")
    if "codebook" not in part(context, "bottleneck")[0]:
        raise PartError(
            "the term 'codebook' moves a codebook that is a parameter, and this one follows moving "
            "averages: leave the term out, or use ae.bottlenecks.vector_quantized(decay=None)"
        )
    return jax.vmap(losses.codebook)(posterior.features, posterior.codes)


def _quantized(outputs: Outputs, name: str) -> Quantized:
    if not isinstance(outputs.posterior, Quantized):
        raise PartError(
            f"the term '{name}' needs the codes of ae.bottlenecks.vector_quantized, got a "
            f"posterior of type {type(outputs.posterior).__name__}"
        )
    return outputs.posterior
